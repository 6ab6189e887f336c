"""The servers that ``benchmarks/media.py`` compares."""
