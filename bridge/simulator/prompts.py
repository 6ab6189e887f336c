"""What the commands ``speak`` and ``playback_start`` put on a leg.

Prompts of a leg play one after another; one with ``overlay`` plays beside them.  Each is announced
by a ``started`` and an ``ended`` webhook (Telnyx: call-playback and call-speak callback pages).

Threads: everything here is called with the carrier's lock held; the audio of a prompt is made or
fetched by somebody else and handed over by :meth:`Prompts.loaded`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bridge.simulator.line import mix


@dataclass
class Prompt:
    """One command's audio.

    Attributes:
        kind: ``speak`` or ``playback``.
        fields: what its webhooks say besides the common fields: ``media_url`` and so on.
        loops: how often it is still to be played; ``None`` is for ever.
        overlay: whether it plays beside the others.
        pcm: the audio, ``None`` while it is not there yet.
        on_end: called with the status when it has ended, instead of the webhook.
    """

    kind: str
    fields: dict[str, Any] = field(default_factory=dict)
    loops: int | None = 1
    overlay: bool = False
    pcm: bytes | None = None
    on_end: Callable[[str], None] | None = None
    started: bool = False
    position: int = 0


class Prompts:
    """The prompts of one leg."""

    def __init__(self, emit: Callable[[str, dict[str, Any]], object]) -> None:
        """Make an empty queue.

        Args:
            emit: takes an event type and its fields.
        """
        self._emit = emit
        self._queue: list[Prompt] = []
        self._overlays: list[Prompt] = []

    def __len__(self) -> int:
        """Get the number of prompts that play or wait."""
        return len(self._queue) + len(self._overlays)

    def add(self, prompt: Prompt) -> None:
        """Put a prompt behind the others, or beside them."""
        (self._overlays if prompt.overlay else self._queue).append(prompt)

    def loaded(self, prompt: Prompt, pcm: bytes) -> None:
        """Hand over a prompt's audio."""
        prompt.pcm = pcm

    def fail(self, prompt: Prompt, status: str, detail: str) -> None:
        """End a prompt whose audio could not be had."""
        self._end(prompt, status, detail)

    def stop(self, *, kind: str, everything: bool, overlay: bool = False) -> bool:
        """Stop the current prompt, or all of them.

        Returns:
            Whether there was one.
        """
        line = self._overlays if overlay else self._queue
        matching = [p for p in line if p.kind == kind]
        for prompt in matching if everything else matching[:1]:
            # A spoken prompt knows no status for this but its proper end.
            self._end(prompt, "cancelled" if kind == "playback" else "completed")
        return bool(matching)

    def end_all(self, status: str) -> None:
        """End everything, because the call did."""
        for prompt in [*self._queue, *self._overlays]:
            self._end(prompt, status)

    def play(self, size: int) -> bytes:
        """Play one packet; nothing when no prompt plays."""
        parts = []
        if self._queue:
            parts.append(self._advance(self._queue[0], size))
        parts += [self._advance(prompt, size) for prompt in tuple(self._overlays)]
        parts = [part for part in parts if part]
        return mix(parts) if parts else b""

    def _advance(self, prompt: Prompt, size: int) -> bytes:
        if prompt.pcm is None:
            return b""
        if not prompt.started:
            prompt.started = True
            self._announce(prompt, "started", {})
        if prompt.position >= len(prompt.pcm):
            if prompt.loops is not None:
                prompt.loops -= 1
            if prompt.loops == 0 or not prompt.pcm:
                self._end(prompt, "completed")
                return b""
            prompt.position = 0
        packet = prompt.pcm[prompt.position : prompt.position + size]
        prompt.position += size
        return packet.ljust(size, b"\0")

    def _end(self, prompt: Prompt, status: str, detail: str = "") -> None:
        line = self._overlays if prompt.overlay else self._queue
        if prompt not in line:
            return
        line.remove(prompt)
        fields: dict[str, Any] = {"status": status}
        if prompt.kind == "playback":
            fields["status_detail"] = detail
        self._announce(prompt, "ended", fields)
        if prompt.on_end is not None:
            prompt.on_end(status)

    def _announce(self, prompt: Prompt, what: str, fields: dict[str, Any]) -> None:
        self._emit(f"call.{prompt.kind}.{what}", {**prompt.fields, **fields})
