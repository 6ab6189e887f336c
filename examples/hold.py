"""Let the caller wait with music while something takes long."""

from bridge import Call


def answer(call: Call) -> None:
    """Look something up; what the caller says meanwhile is no turn."""
    call.say("I will look that up for you.")
    call.hold("music")
    call.stay(2.0)  # the look-up
    call.unhold()
    call.say("Thanks for waiting. Your table is booked.")
