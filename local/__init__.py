"""What stands in for the cloud on one machine: AWS emulator, PostgreSQL, provider plugins, offline engine."""
