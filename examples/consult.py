"""Ask a colleague whether they take the caller, while the caller hears music."""

from bridge import Call
from bridge.errors import DialFailed


def brief(colleague: Call) -> bool:
    """Talk with the colleague alone."""
    return "yes" in colleague.ask("A caller with a broken oven. Will you take them?").text


def answer(call: Call) -> None:
    """Connect the two, or come back."""
    try:
        call.consult("+12025550143", brief) or call.say("They are busy. May I help?")
    except DialFailed:
        call.say("Nobody is there. May I help?")
