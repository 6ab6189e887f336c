"""Put the caller through to a colleague, and stay with them if nobody answers."""

from bridge import Call
from bridge.errors import TransferFailed

DESK = "+12025550143"


def answer(call: Call) -> None:
    """Transfer for good."""
    call.say("I will put you through.")
    try:
        call.transfer(DESK, timeout=20)
    except TransferFailed as failure:
        call.say(f"I am sorry, they are {failure.cause.replace('_', ' ')}. Please call later.")
