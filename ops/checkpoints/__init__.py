"""Checkpoints of database and file store together, and returns to them."""
