"""Whether the call came to what it should, judged by what the caller heard.

The agent's own words are no proof: they may never have reached the ear.  So the agent's side of the
recording is recognised again, and it is the recognised text that must hold the booking.

Pure, but for :func:`recognise`, which computes.
"""

from __future__ import annotations

import datetime as dt
import difflib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bridge.agents.frontdesk import Booking
from bridge.agents.heard import understand
from bridge.demo.scripts import Script
from bridge.demo.timeline import Item
from bridge.simulator.listeners import Listening, OfflineListener
from bridge.simulator.offline.accuracy import spoken_words, total, word_errors

# A word error rate that counts as understood, for real voices on a telephone line.
LARGEST_ERROR_RATE = 0.10
# How alike a name must be to the one that was said: recognisers have never met the person.
LIKE_NAME = 0.6
# How far the words that the app believes heard may be from those at the ear.
WORDS_OFF = 3
# Seconds of audio fed to the recogniser at a time.
FED = 0.1


@dataclass(frozen=True)
class Check:
    """One thing that had to come true.

    Attributes:
        what: in a few words.
        passed: whether it did.
        detail: what was found.
    """

    what: str
    passed: bool
    detail: str


def recognise(pcm: bytes, rate: int) -> list[str]:
    """Recognise what is said in a recording, one text per stretch of speech; computes for seconds.

    Args:
        pcm: 16-bit mono.
        rate: its hertz.
    """
    listener = OfflineListener(Listening(rate, interims=False, endpoint=0.6))
    size = 2 * round(rate * FED)
    said = [one for at in range(0, len(pcm), size) for one in listener.feed(pcm[at : at + size])]
    said.extend(listener.finalize())
    return [one.text for one in said if one.text]


def judge(
    script: Script,
    items: Sequence[Item],
    heard: Sequence[str],
    days: Collection[dt.date],
    cut: str | None = None,
) -> list[Check]:
    """Judge a call that is over.

    Args:
        script: what was played.
        items: the turns.
        heard: what the caller heard, recognised.
        days: the days that the caller's "tomorrow" may have meant.
        cut: what the caller heard of the reply that they broke in on, recognised.
    """
    checks: list[Check] = []
    if script.booking is not None:
        checks.append(check_booking(script.booking, heard, days))
        checks.append(check_goodbye(heard))
    if script.barge_in:
        checks.append(check_barge_in(items, cut or ""))
    if script.references:
        checks.append(check_recordings(script.references, items))
    return checks


def check_booking(wanted: Booking, heard: Sequence[str], days: Collection[dt.date]) -> Check:
    """Look for the confirmed booking in what the caller heard."""
    text = " ".join(heard)
    # "Your table is booked: …"; the recogniser may write it "book".
    confirmed = re.split(r"\bbook(?:ed)?\b", text, flags=re.IGNORECASE)[-1]
    if confirmed == text:
        return Check("booking confirmed at the caller's ear", False, f"heard: {text}")
    facts = understand(confirmed, today=min(days) - dt.timedelta(days=1))
    wrong = [
        name
        for name, right in (
            ("party", facts.party == wanted.party),
            ("day", facts.date in days),
            ("time", facts.time == wanted.time),
            ("name", alike(facts.name or "", wanted.name or "")),
        )
        if not right
    ]
    found = (
        f"{facts.party} people, {facts.date}, {facts.time:%H:%M}, {facts.name}"
        if facts.time is not None
        else f"heard: {confirmed.strip()}"
    )
    if wrong:
        found += f" (wrong: {', '.join(wrong)})"
    return Check("booking confirmed at the caller's ear", not wrong, found)


def check_goodbye(heard: Sequence[str]) -> Check:
    """Look for the goodbye in the last things that the caller heard, however it is spelt."""
    said = any(re.search(r"\bgood[ -]?bye\b", text.lower()) for text in heard[-2:])
    return Check("goodbye was heard", said, heard[-1] if heard else "nothing was heard")


def alike(one: str, other: str) -> bool:
    """Whether two names sound like one, as far as letters tell."""
    ratio = difflib.SequenceMatcher(None, one.lower(), other.lower()).ratio()
    return ratio >= LIKE_NAME


def check_barge_in(items: Sequence[Item], cut: str) -> Check:
    """Compare what the app believes was heard of the interrupted reply with what was heard."""
    what = "the agent stopped, and knows what was heard"
    reply = next((item for item in items if item.interrupted), None)
    if reply is None:
        return Check(what, False, "no reply was interrupted")
    if len(reply.heard) >= len(reply.text):
        return Check(what, False, "the whole reply counts as heard")
    believed, at_the_ear = len(spoken_words(reply.heard)), len(spoken_words(cut))
    return Check(
        what,
        abs(believed - at_the_ear) <= WORDS_OFF,
        f"{believed} words believed heard, {at_the_ear} at the caller's ear, "
        f"{len(spoken_words(reply.text))} to be said",
    )


def check_recordings(references: Sequence[str], items: Sequence[Item]) -> Check:
    """Count the words of the recordings that were not understood."""
    said = " ".join(item.text for item in items if item.speaker == "caller")
    errors = total([word_errors(" ".join(references), said)])
    return Check(
        f"word error rate under {LARGEST_ERROR_RATE:.0%}",
        errors.rate < LARGEST_ERROR_RATE,
        f"{errors.rate:.1%}: {errors.errors} of {errors.words} words",
    )
