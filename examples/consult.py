"""Ask a colleague whether they take the caller, while the caller hears music."""

from bridge import Call
from bridge.errors import DialFailed


def answer(call: Call) -> None:
    """Connect the two, or come back."""
    question = "A caller with a broken oven. Will you take them?"
    try:
        taken = call.consult("+12025550143", lambda them: "yes" in them.ask(question).text)
        taken or call.say("They are busy. May I help?")
    except DialFailed:
        call.say("Nobody is there. May I help?")
