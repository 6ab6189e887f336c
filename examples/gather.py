"""Ask for a PIN that nobody may find in a recording, a transcript or a log."""

from bridge import Call


def answer(call: Call) -> None:
    """Take four keys, in private."""
    pin = call.gather("Please enter your four digit PIN.", digits=4, attempts=3, private=True)
    if not pin:
        call.say("I did not get your PIN. Goodbye.")
    else:
        call.say("Thank you. You are in." if pin == "1234" else "That PIN is wrong.")
