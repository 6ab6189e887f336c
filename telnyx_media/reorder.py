"""Put the caller's audio back in order.

Telnyx does not promise to deliver ``media`` frames in the order they were cut, but it numbers them
(Telnyx: media-streaming page).  :class:`ReorderBuffer` holds a packet back until the ones before it
have come, or until waiting any longer would be heard.  Where the numbers begin, whether a stream
that comes back goes on counting, and whether two tracks share one counter is not documented, so all
of that is found out from the numbers.

Pure: no clock, no thread, no socket.  Patience is counted in packets, so a test of lateness needs
no sleep.

Rules of this module:

1. A packet leaves once and in ascending order, or it never leaves.
2. A missing packet is waited for until more than ``depth`` later ones are held; then its place is
   given up as ``None``, and what to play there is the caller's choice.
3. A jump of more than ``MAX_GAP`` either way is a new start, not a very long gap; so is a run of
   packets that count up from a number long past and hold other audio than it did.
4. Numbers that keep going up by two or more with nothing in between have no holes.
"""

from __future__ import annotations

from collections import deque

__all__ = ["MAX_GAP", "ReorderBuffer"]

# One second of 20 ms packets.  A stream that was paused comes back with a jump far beyond this;
# filling it with silence would delay the call by as much.
MAX_GAP = 50

# Equal steps in a row after which the step is taken to be how this stream counts.
_STEPS_TO_BELIEVE = 5

# Late packets in a row after which they are taken for a new start; or ``depth``, if that is more.
_RUN_TO_BELIEVE = 3


class ReorderBuffer:
    """Order packets by chunk number, giving up on a hole once more than ``depth`` wait behind it.

    Attributes:
        lost: places that were given up.
        late: packets that came after their place was given up; they are dropped.
        duplicates: packets that came twice.
        restarts: how often the numbers began anew.
    """

    def __init__(self, depth: int = 3) -> None:
        """Begin a stream.

        Args:
            depth: how many packets may be held back while one is missing; 0 holds none back.
        """
        self.depth = depth
        self.lost = 0
        self.late = 0
        self.duplicates = 0
        self.restarts = 0
        self._next: int | None = None
        self._held: dict[int, bytes] = {}
        # What has left last; a place that was given up is kept as None.
        self._past: deque[tuple[int, bytes | None]] = deque(maxlen=MAX_GAP)
        # Late packets that count up one by one: a new start, if enough of them come.
        self._run: list[tuple[int, bytes]] = []
        self._step = 1
        self._same_steps = 0
        self._last_step = 0

    def __len__(self) -> int:
        """Get the number of packets held back."""
        return len(self._held)

    def push(self, number: int | None, packet: bytes) -> list[bytes | None]:
        """Take one packet in and return those that may leave now.

        Args:
            number: the chunk number, or the message's sequence number where there is none; ``None``
                for the one after all that have come.
            packet: its audio; ``b""`` for a number that was used for something else than audio.

        Returns:
            Packets in ascending order; ``None`` stands for one that was given up.
        """
        expected = self._next
        if expected is None:
            return self._start(number or 0, packet)
        if number is None:
            number = max(self._held) + self._step if self._held else expected
        if number == expected and not self._held:
            # Nearly every packet of nearly every call.
            self._next = number + self._step
            self._past.append((number, packet))
            if self._run:
                self._forget_run()
            return [packet]
        if abs(number - expected) > MAX_GAP:
            return self._restart([(number, packet)])
        if number < expected:
            return self._take_late(number, packet)
        self._forget_run()
        if number in self._held:
            self.duplicates += 1
            return []
        if (number - expected) % self._step:
            self._step = 1
        self._held[number] = packet
        return self._release(self.depth)

    def flush(self) -> list[bytes | None]:
        """Return everything that is held back, with ``None`` for the holes in between."""
        self._forget_run()
        return self._release(0) if self._held else []

    def _start(self, number: int, packet: bytes) -> list[bytes | None]:
        self._next = number + self._step
        self._past.append((number, packet))
        return [packet]

    def _release(self, patience: int) -> list[bytes | None]:
        """Let out what is in order, giving up holes while more than ``patience`` are held."""
        out: list[bytes | None] = []
        assert self._next is not None
        while self._held:
            packet = self._held.pop(self._next, None)
            if packet is not None:
                self._note_step(self._next)
                self._past.append((self._next, packet))
                out.append(packet)
            elif len(self._held) > patience:
                self.lost += 1
                self._past.append((self._next, None))
                out.append(None)
            else:
                break
            self._next += self._step
        return out

    def _note_step(self, number: int) -> None:
        """Learn by how much the numbers of this stream go up."""
        before = next((n for n, packet in reversed(self._past) if packet is not None), None)
        step = number - before if before is not None else 0
        self._same_steps = self._same_steps + 1 if step == self._last_step else 1
        self._last_step = step
        if step > self._step and self._same_steps >= _STEPS_TO_BELIEVE:
            self._step = step

    def _take_late(self, number: int, packet: bytes) -> list[bytes | None]:
        if number > self._past[-1][0]:
            # Within a step that was believed too soon: not late at all.
            self._step, self._next = 1, number
            self._held[number] = packet
            return self._release(self.depth)
        known = [audio for past, audio in self._past if past == number]
        if known and known[0] == packet:
            self.duplicates += 1
            return []
        if self._run and number != self._run[-1][0] + self._step:
            self._forget_run()
        if known and known[0] is None:
            self.late += 1
            return []
        self._run.append((number, packet))
        if len(self._run) > max(self.depth, _RUN_TO_BELIEVE):
            return self._restart(self._run)
        return []

    def _forget_run(self) -> None:
        """Count the packets that were no new start after all."""
        self.late += len(self._run)
        self._run = []

    def _restart(self, packets: list[tuple[int, bytes]]) -> list[bytes | None]:
        """Let out what is held from before, then begin anew with ``packets``."""
        if packets is not self._run:
            self._forget_run()
        # The holes of the old numbering are not waited for: nothing says how long they were.
        out: list[bytes | None] = [self._held[number] for number in sorted(self._held)]
        self._held.clear()
        self._past.clear()
        self._run = []
        self._past.extend(packets)
        self._step, self._same_steps, self._last_step = 1, 0, 0
        self._next = packets[-1][0] + 1
        self.restarts += 1
        out.extend(packet for _, packet in packets)
        return out
