"""`ops dump` and `ops load`: one database with its file store, out of a server and into another."""
