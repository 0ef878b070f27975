"""`ops modules`: data modules proven on development, and loaded where they are wanted."""
