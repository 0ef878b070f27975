"""The table's rows, a file for each service."""
