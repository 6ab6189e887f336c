"""Call somebody: bridge call +12025550143 --agent examples.reminder:answer --detect."""

from bridge import Call

MESSAGE = "This is Corner Pizza. Your table is booked for eight."


def answer(call: Call) -> None:
    """Tell a person, a machine behind its beep, or a robot that asks who is calling."""
    while (who := call.who_answered()) == "screening":
        call.say("Corner Pizza, about a booking.", interruptible=False)
    if who in ("machine", "fax"):
        call.leave_message(MESSAGE)
    while who not in ("machine", "fax") and call.say(MESSAGE).interrupted:
        call.listen(timeout=3)  # "Hello, who is this?": hear them out, and say it again
