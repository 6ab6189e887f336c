"""Speech recognition and synthesis without a network, for the simulator, the demo and the tests.

Nothing is imported or loaded before it is used; a missing package is one
:class:`~bridge.simulator.offline.packages.OfflineSpeechMissing` that says what to install.
"""

from __future__ import annotations


def warm_up() -> None:
    """Load the recogniser and the agent's voice and run both once.

    Blocks for one to two seconds the first time in a process. Whoever measures latencies calls it
    first, and whoever starts a server, so that a missing package is found before a call is.

    Raises:
        OfflineSpeechMissing: a package is missing; the message says what to install.
    """
    from bridge.simulator.offline.recognition import Recognizer
    from bridge.simulator.offline.voices import Synthesizer

    Recognizer().warm_up()
    Synthesizer().warm_up()
