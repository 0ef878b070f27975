"""What a server does to become one: runs on Debian's Python 3 with packages from Debian alone."""
