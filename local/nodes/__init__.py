"""Servers made real: what the emulator holds runs as systemd containers on this machine."""
