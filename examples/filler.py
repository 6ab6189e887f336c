"""Say something while the answer takes its time."""

import time

from bridge import Call


def answer(call: Call) -> None:
    """Fill the silence of a slow look-up."""
    with call.filler("One moment, I am looking that up.", after=0.5):
        time.sleep(1.0)  # the look-up
    call.say("Here it is: twelve pizzas.")
