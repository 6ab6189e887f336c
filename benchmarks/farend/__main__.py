"""Run the far end: one JSON command a line on standard input, one JSON answer a line.

{"do": "calls", "count": 50, "plan": "talk", "caller": "+1202…"}   hold so many
{"do": "measure", "seconds": 20}                               and say what was heard of them
{"do": "webhooks", "seconds": 5, "at_once": 8}                 bring webhooks about them
{"do": "end"}                                                  hang up on all
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable
from typing import Any

from benchmarks.farend import speech
from benchmarks.farend.calls import Account, Post, percentile
from benchmarks.farend.loop import READ, Loop

# Seconds between two new calls, and in which all have to have a stream.
SPACING, ANSWER = 0.05, 20.0


class FarEnd:
    """Obeys the commands."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.account = Account(self.loop)
        port = speech.serve(self.loop, self.account.obey)
        self.loop.watch(0, READ, self._read)
        self._lines = b""
        say({
            "TELNYX_API_KEY": "KEY0", "TELNYX_PUBLIC_KEY": self.account.signer.public_key,
            "TELNYX_API_URL": f"http://127.0.0.1:{port}/v2",
            "TELNYX_STT_URL": f"ws://127.0.0.1:{port}{speech.STT}transcription",
            "TELNYX_TTS_URL": f"ws://127.0.0.1:{port}{speech.TTS}speech",
        })  # fmt: skip

    def _read(self, events: int) -> None:
        data = os.read(0, 65536)
        if not data:
            self.loop.stop()
        self._lines += data
        while b"\n" in self._lines:
            line, _, self._lines = self._lines.partition(b"\n")
            command = json.loads(line)
            do: Callable[..., None] = getattr(self, "_" + command.pop("do"))
            do(**command)

    def _begin(self, webhook: str) -> None:
        self.account.webhook = webhook
        say({})

    def _calls(self, count: int, plan: str = "talk", caller: str = "+12025550112") -> None:
        account, limit = self.account, time.monotonic() + ANSWER + SPACING * count
        if count < len(account.calls):
            account.hang_up(len(account.calls) - count)
        missing = count - len(account.calls)

        def place(now: float) -> None:
            nonlocal missing
            if missing > 0:
                missing -= 1
                account.place(plan, caller)
                self.loop.at(now + SPACING, place)
            elif sum(c.begun for c in account.calls.values()) >= count or now > limit:
                say({"calls": sum(c.begun for c in account.calls.values())})
            else:
                self.loop.at(now + SPACING, place)

        place(time.monotonic())

    def _measure(self, seconds: float, settle: float = 0.0) -> None:
        def begin(now: float) -> None:
            self.loop.lateness.clear()
            self.account.failed = 0
            own = time.process_time()
            heard = {key: call.heard for key, call in self.account.calls.items()}
            say({"at": now})
            self.loop.at(now + seconds, lambda end: self._report(now, end, own, heard))

        self.loop.at(time.monotonic() + settle, begin)

    def _report(self, begin: float, end: float, own: float, heard: dict[str, float]) -> None:
        calls = list(self.account.calls.values())
        waits = [w for c in calls for w in c.waits if begin <= w[0] < end]
        breaks = [b for c in calls for b in c.breaks if begin <= (b["spoke"] or 0) < end - 3]
        gaps = [g for c in calls for g in c.gaps if begin <= g[0] < end]
        late = percentile(self.loop.lateness, 99)
        say({
            "calls": len(calls), "lost": self.account.failed, "seconds": end - begin,
            "replies": [at - spoke for spoke, at in waits if at is not None],
            "unanswered": sum(at is None for _, at in waits),
            "breaks": breaks, "gaps": len(gaps), "gap_seconds": sum(g[1] for g in gaps),
            "gaps_by_call": {c.key: sum(begin <= g[0] < end for g in c.gaps) for c in calls},
            "heard_seconds": sum(c.heard - heard.get(c.key, 0.0) for c in calls),
            "late_p99_ms": 1000 * (late or 0.0),
            "far_cpu": (time.process_time() - own) / (end - begin),
        })  # fmt: skip

    def _strangers(self, count: int) -> None:
        self.account.placed.update({f"v3:stranger-{n}": ("", "+12025550112") for n in range(count)})
        say({})

    def _webhooks(self, seconds: float, at_once: int) -> None:
        account, taken, refused, begin = self.account, list[float](), 0, time.monotonic()
        keys, under_way = itertools.cycle(list(account.placed)), at_once

        def bring(now: float) -> None:
            event = account.event(next(keys), "call.playback.started", media_url="", overlay=False)
            sent = time.monotonic()

            def answered(status: int) -> None:
                nonlocal refused, under_way
                done = time.monotonic()
                taken.append(done - sent)
                refused += status != 200
                if done < begin + seconds:
                    bring(done)
                    return
                under_way -= 1
                if not under_way:
                    say({
                        "rate": len(taken) / (done - begin), "refused": refused,
                        "p50_ms": 1000 * (percentile(taken, 50) or 0),
                        "p99_ms": 1000 * (percentile(taken, 99) or 0),
                        "far_cpu": (time.process_time() - own) / (done - begin),
                    })  # fmt: skip

            Post(self.loop, account.webhook, account.signer, event, answered)

        own = time.process_time()
        for _ in range(at_once):
            bring(begin)

    def _end(self) -> None:
        self.account.hang_up(10**6)
        self.loop.at(time.monotonic() + 1.0, lambda _: say({"calls": len(self.account.calls)}))


def say(answer: dict[str, Any]) -> None:
    """Answer a command."""
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    FarEnd().loop.run()
