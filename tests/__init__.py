"""One room for each room of the program."""
