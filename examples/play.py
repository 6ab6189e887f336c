"""Play a jingle before the greeting, read once per process."""

from bridge import Call

JINGLE = "tests/data/voices/jfk.wav"


def answer(call: Call) -> None:
    """Play it, but not to somebody who talks over it."""
    jingle = call.play(JINGLE, volume=0.8)
    call.say("What can I do for you?" if jingle.interrupted else "Welcome to Corner Pizza.")
