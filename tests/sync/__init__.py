"""Sessions against loopback peers."""
