"""What a caller meant, from what a speech recogniser wrote.

Recognisers write the same words in many ways (``seven thirty``, ``7:30``, ``730``, ``7.30 p.m.``)
and mishear the small ones (``a table for for``).  :func:`understand` finds the facts of a booking
in a sentence, in any order and several at once, and the few intentions that a conversation turns
on.

Pure: the day it is comes in as an argument.
"""

from bridge.agents.heard.sentence import Slot, Understood, understand

__all__ = ["Slot", "Understood", "understand"]
