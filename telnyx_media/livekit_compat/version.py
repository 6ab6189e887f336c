"""The version that LiveKit shows for the plugin: that of the distribution."""

__version__ = "0.1.0"
