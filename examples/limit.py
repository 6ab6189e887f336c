"""Let no call go on for ever."""

from bridge import Call


def answer(call: Call) -> None:
    """Talk for three minutes at most, whatever the caller does."""
    call.limit(180, "Our three minutes are over. Goodbye.")
    for turn in call.turns():
        call.say(f"You said: {turn.text}")
