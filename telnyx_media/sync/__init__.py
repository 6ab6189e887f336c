"""Everything that blocks, waits or starts a thread."""
