"""A receptionist who books tables: rules in plain Python, no network, no model.

The agent that answers when no other one is named.  What to say is decided by
:class:`~bridge.agents.frontdesk.FrontDesk`; this module is all there is to putting a conversation
on the telephone.

Threads: the agent's own.
"""

from __future__ import annotations

import datetime as dt

from bridge.agents.frontdesk import FrontDesk
from bridge.call import Call

__all__ = ["answer"]

# A caller who says nothing for that long, in seconds, is asked again.
SILENCE = 8.0


def answer(call: Call) -> None:
    """Book a table for the caller, then hang up.

    ``call.state["booking"]`` holds the :class:`~bridge.agents.frontdesk.Booking` once the caller
    has confirmed it.
    """
    desk = FrontDesk(dt.datetime.now())
    sentence = desk.greeting()
    if call.resumed:
        # The same words lead to the same place.
        for remark in call.history:
            if remark.speaker == "caller":
                desk.hear(remark.text or remark.digits)
        sentence = desk.welcome_back()
    reply = call.say(sentence)
    while not desk.done:
        turn = call.listen(SILENCE)
        if turn is None:
            reply = call.say(desk.silence())
            continue
        unheard = reply.text[len(reply.heard) :] if reply.interrupted else ""
        sentence = desk.hear(turn.text or turn.digits, unheard=unheard)
        # Before it is said: the caller may hang up over the goodbye, and the table is booked.
        call.state["booking"] = desk.booking if desk.booked else None
        reply = call.say(sentence)
