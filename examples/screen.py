"""Decide before a call is answered: BRIDGE_SCREEN=examples.screen:screen."""

from bridge import Call
from bridge.call import CallInfo


def screen(info: CallInfo) -> "bool | str":
    """Answer nobody without a number, and send those who may not call away."""
    return "USER_BUSY" if info.from_number == "+12025550166" else info.from_number != "anonymous"


def answer(call: Call) -> None:
    """Talk to those who were let in."""
    call.say("Good to hear from you.")
