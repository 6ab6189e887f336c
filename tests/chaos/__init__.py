"""What becomes of calls when processes, services and sockets die under them: ``make chaos``."""
