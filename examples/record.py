"""Record what may be recorded, and only that."""

from bridge import Call


def answer(call: Call) -> None:
    """Leave the card number out, and stop before the small talk."""
    call.record("on")
    call.say("This call is recorded.")
    call.record("pause")
    call.say("Your card ends in one one.")
    call.record("on")
    call.say("And now the rest.")
    call.record("off")
