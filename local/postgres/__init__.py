"""PostgreSQL clusters as child processes of the emulator: what stands in for RDS instances on one machine."""
