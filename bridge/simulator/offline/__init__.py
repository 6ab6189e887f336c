"""Speech recognition and synthesis without a network, for the simulator, the demo and the tests.

Nothing is imported or loaded before it is used; a missing package is one
:class:`~bridge.simulator.offline.packages.OfflineSpeechMissing` that says what to install.
"""
