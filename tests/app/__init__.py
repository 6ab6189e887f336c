"""The app under a real threaded server."""
