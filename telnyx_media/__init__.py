"""Telnyx speech and media streams, in blocking Python."""
