"""What the agents of the suite say; any framework can be made to say the same.

Callers of :data:`TALKER` get a long text, and the same again for each turn of theirs: somebody to
break in on.  All others get a word: somebody to be understood by.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge import Call

TALKER = "+12025550111"
LISTENER = "+12025550112"

TALK = (
    "Thank you for calling the corner pizza. We have a table for four people at half past seven "
    "this evening, by the window. There is another one in the garden, which is very nice at this "
    "time of the year. Our cook recommends the mushroom soup and the pizza with artichokes. "
    "On Mondays we are closed, and on Sundays we open at noon. Children eat for half the price. "
    "You can park behind the house, where there is room for twenty cars. The bus stops in front "
    "of the door, every ten minutes until midnight. On Friday there will be music from eight "
    "o'clock on, and the kitchen stays open for longer. Please tell us if you are allergic to "
    "nuts, to milk or to eggs. We can also bring your order to your home, which takes about half "
    "an hour and costs two dollars. Large parties should call a day before, and we will find room."
)

GREETING = "How can I help you?"
ANSWER = "I see. Go on."


def answer(call: Call) -> None:
    """Talk, or listen, by the number that is calling."""
    first, then = (TALK, TALK) if call.info.from_number == TALKER else (GREETING, ANSWER)
    call.say(first)
    for _ in call.turns():
        call.say(then)


# Where "recite" writes how many characters were heard of each reply.
HEARD_FILE = "CONVERSATION_HEARD_FILE"

# Every character of it is a word of its own, so that what was heard is known to the character.
RECITAL = "一二三四五六七八九十" * 20


def recite(call: Call) -> None:
    """Say something long again and again, and write down how much of it was heard."""
    path = Path(os.environ[HEARD_FILE])
    while True:
        reply = call.say(RECITAL)
        with path.open("a") as file:
            if reply.interrupted:
                times = f"{reply.started_at} {reply.ended_at}"
                file.write(f"{call.info.call_control_id} {len(reply.heard)} {times}\n")
        call.listen()
