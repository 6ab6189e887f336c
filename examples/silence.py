"""Leave no dead air: ask after a caller who says nothing, then give up politely."""

from bridge import Call


def answer(call: Call) -> None:
    """Echo, until there has been nothing to echo for three times as long."""
    call.say("Say something.")
    for turn in call.turns(
        silence=6, prompts=["Are you still there?", "Hello?"], give_up="I will hang up. Goodbye."
    ):
        call.say(f"You said: {turn.text}")
