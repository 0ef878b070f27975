"""Day-2 commands: `python -m ops --help`."""
