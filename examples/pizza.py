"""The smallest agent that does something: take an order, say it back.

bridge simulate tests/data/voices/jfk.wav --agent examples.pizza:answer
"""

from bridge import Call


def answer(call: Call) -> None:
    """Take an order, sentence by sentence, until the caller says goodbye or hangs up."""
    order: list[str] = []
    call.say("Thanks for calling Corner Pizza. What would you like?")
    for turn in call.turns():
        if "bye" in turn.text.lower():
            call.say(f"That is {len(order)} things. It will be ready in twenty minutes. Goodbye.")
            return
        order.append(turn.text)
        reply = call.say(f"{turn.text.rstrip('.,?')}. Anything else?")
        if reply.interrupted:
            # The caller broke in; reply.heard is what they heard of it.
            order.pop()
