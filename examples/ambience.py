"""Put a room around the agent's voice."""

from bridge import Call


def answer(call: Call) -> None:
    """Sound as if somebody sat in an office."""
    call.background("room", volume=0.5)
    call.say("Corner Pizza, good evening.")
    call.stay(1.0)
    call.background(None)
    call.say("It is quiet now.")
