"""Take an order and say it back: bridge simulate … --agent examples.pizza:answer."""

from bridge import Call


def answer(call: Call) -> None:
    """Take it sentence by sentence; what is kept in call.state survives a deploy."""
    call.state["order"] = []
    call.say("Thanks for calling Corner Pizza. What would you like?")
    for turn in call.turns():
        if "bye" in turn.text.lower():
            call.say(f"That is {len(call.state['order'])} things, in twenty minutes. Goodbye.")
            call.hangup()
        elif not call.say(f"{turn.text.rstrip('.,?')}. Anything else?").interrupted:
            call.state["order"].append(turn.text)
