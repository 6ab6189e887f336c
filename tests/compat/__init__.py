"""The LiveKit plugin, where LiveKit is installed: ``make test-livekit``."""
