"""One process's calls among those of the others.

What the switchboard cannot do alone: bring an event to a leg that lives elsewhere, have a call
taken by a process with room, take over the legs of a process that died, and let go of a leg whose
media socket was opened at another one.

Threads: ``fleet`` hears what others say and sees who died; what that sets off runs on the
webhooks' pool.  Other methods may be called from any thread, and block for a second at most.

Rules of this module:

1. Who has a leg is decided in Redis; what is said between processes only makes it known.
2. A message that does not arrive costs time, never a call: Redis is asked again when it is back.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from bridge.call import CallInfo
from bridge.errors import EventError
from bridge.events import Event, parse_event
from bridge.fleet.chronicle import Chronicle
from bridge.fleet.estates import number
from bridge.fleet.limits import Limits
from bridge.fleet.local import Local, write_event
from bridge.fleet.membership import Member, Membership
from bridge.fleet.passage import HANDED, Passage, Serve, pass_on
from bridge.fleet.redisregistry import RedisRegistry
from bridge.fleet.store import FleetStore, namespace
from bridge.inheritance import decode_info, encode_info
from bridge.registry import RegistryAway
from bridge.settings import Settings

if TYPE_CHECKING:
    pass

__all__ = ["Fleet"]

logger = logging.getLogger(__name__)

# Seconds that a process has to let go of a leg whose socket was opened here; then the caller has
# waited long enough.
LET_GO = 1.0

# Seconds for the last words of a leg to be written down before it goes over.
FLUSH = 0.5

# Seconds without a sign of life after which a process is given no call.
PLACE = 1.5


class Fleet:
    """This process in the fleet; the owner calls :meth:`close`.

    Attributes:
        process: its name, which no other has or had.
        registry: what all processes share.
        chronicle: an observer that keeps each call's history where the others can read it.
        limits: what all processes count together.
    """

    def __init__(self, settings: Settings, *, room: Callable[[], int]) -> None:
        """Prepare; nothing is sent or started.

        Args:
            settings: ``REDIS_URL`` and ``PUBLIC_URL`` have to be set.
            room: how many calls this process takes at most; 0 while it is stopping.
        """
        self.process = f"{os.uname().nodename[:40]}-{os.getpid()}-{secrets.token_hex(4)}"
        self._store = FleetStore(settings.redis_url or "", namespace(settings.public_url or ""))
        self._membership = Membership(
            self._store,
            self.process,
            room=room,
            on_message=self._take,
            on_dead=self._bury,
            on_back=self._reconcile,
        )
        self.registry = RedisRegistry(
            self._store,
            self.process,
            grace=settings.grace_seconds,
            ask_to_let_go=self._ask_to_let_go,
            joined=self._join,
        )
        self.chronicle = Chronicle(self.registry.write)
        self.limits = Limits(self._store)
        self._local: Local | None = None
        self._passage: Passage | None = None
        self._submit: Callable[[str, Callable[[], object]], bool] = lambda key, job: False
        # Guards what follows.
        self._lock = threading.Lock()
        # Legs that others were asked for, until they have let go.
        self._awaited: dict[str, threading.Event] = {}
        self._burials: set[str] = set()

    def attach(
        self, local: Local, submit: Callable[[str, Callable[[], object]], bool], serve: Serve
    ) -> None:
        """Say whose calls these are.

        Args:
            local: the calls of this process.
            submit: has a job done on another thread, after earlier ones of the same key.
            serve: serves a request for a media socket that was handed in.
        """
        self._local = local
        self._submit = submit
        self._passage = Passage(self.process, serve)

    def start(self) -> None:
        """Join the fleet; returns at once, may be called again."""
        if self._passage is not None:
            self._passage.open()
        self._membership.start()

    def _join(self) -> bool:
        self.start()
        return self._membership.joined or self._membership.wait(LET_GO)

    @property
    def joined(self) -> bool:
        """Whether Redis and the others can be reached."""
        return self._membership.joined and self._store.available

    def others(self) -> int:
        """Count the other processes that take calls; none while Redis is away."""
        return len(self._membership.others()) if self.joined else 0

    def close(self) -> None:
        """Leave the fleet; may be called twice."""
        if self._passage is not None:
            self._passage.close()
        self.chronicle.close()
        self._membership.close()
        self._store.close()

    # -- what the switchboard asks for ------------------------------------------------------------

    def forward(self, event: Event, again: bool) -> Literal["nobody", "here", "elsewhere"]:
        """Bring an event to the process that its leg, or one of its session, lives in.

        Args:
            event: the event.
            again: whether another process has sent it here, so that it is not to go round.

        Returns:
            Whether there is such a leg, and whether it is one of ours.
        """
        body = write_event(event)
        payload = event.payload
        message = msgspec.json.encode({"kind": "event", "body": body}).decode()
        try:
            answer = self._store.run(
                "forward",
                payload.call_control_id,
                payload.call_leg_id,
                self.process,
                message,
                body,
                payload.call_session_id,
                "1" if again else "",
            )
        except RegistryAway:
            return "nobody"
        if answer[0] in ("here", "nobody"):
            return "here" if answer[0] == "here" else "nobody"
        return "elsewhere"

    def note(self, event: Event) -> None:
        """Keep a key that a webhook told of, in case that whoever is told of it dies over it."""
        payload = event.payload
        with contextlib.suppress(RegistryAway):
            self._store.run(
                "note", payload.call_control_id, payload.call_leg_id, write_event(event)
            )

    def accept(self, event: Event) -> None:
        """Keep an event until it was acted on; another process does it if this one dies before."""
        self.registry.accept(event.id, write_event(event))

    def handled(self, event: Event) -> None:
        """Keep an event no longer."""
        self.registry.handled(event.id)

    def holds(self, key: str) -> bool | None:
        """Ask whether a leg lives here still; ``None`` if that cannot be known now."""
        return self.registry.holds(key)

    def name_agent(self, key: str, agent: str) -> None:
        """Have whoever takes a leg over know its agent."""
        self.registry.name_agent(key, agent)

    def mail(self, key: str) -> Iterator[Event]:
        """Take the events of a leg that came before it was known."""
        try:
            bodies: list[str] = self._store.run("mail", key)
        except RegistryAway:
            return
        for body in bodies:
            yield parse_event(body.encode())

    def place(self, info: CallInfo) -> bool:
        """Have a new call taken by the process with the most room; whether there is one."""
        message = msgspec.json.encode({"kind": "begin", "info": encode_info(info)}).decode()
        try:
            placed = self._store.run("place", self.process, message, round(PLACE * 1000))
        except RegistryAway:
            return False
        return bool(placed)

    def pass_on(self, token: str, environ: Mapping[str, Any]) -> bool:
        """Hand a request for a media socket to its leg's process, if that is on this machine.

        Returns:
            Whether it has the connection now.
        """
        owner = self.registry.owner(token)
        return owner not in ("", self.process) and pass_on(owner, token, environ)

    def pass_listener(self, key: str, environ: Mapping[str, Any]) -> bool:
        """Hand a listener's request to the process that has a leg, if that is on this machine."""
        info = self.registry.find(key)
        try:
            owner = info and self._store.call("HGET", f"leg:{info.call_control_id}", "owner")
        except RegistryAway:
            return False
        if info is None or not owner or owner == self.process:
            return False
        return pass_on(str(owner), HANDED + info.call_control_id, environ)

    def shut(self) -> None:
        """Take in no more connections that others would hand to this process."""
        if self._passage is not None:
            self._passage.shut()

    def is_ours(self, token: str) -> bool:
        """Whether the leg of a stream token lives here, or cannot be known to live elsewhere."""
        return self.registry.owner(token) in ("", self.process)

    def departed(self, info: CallInfo) -> None:
        """Tell whoever waits for it that a leg's agent here has fallen silent."""
        self.chronicle.flush(FLUSH)
        try:
            owner = self._store.call("HGET", f"leg:{info.call_control_id}", "owner")
        except RegistryAway:
            return
        if owner and owner != self.process:
            self._membership.tell(owner, kind="departed", leg=info.call_control_id)

    def hang_up(self, key: str) -> bool:
        """End a leg that lives elsewhere; whether its process was there to hear it."""
        return self._ask(key, "hang up")

    def transfer(self, key: str, to: str) -> bool:
        """Put the caller of a leg that lives elsewhere through; whether its process heard it."""
        return self._ask(key, "transfer", to=to)

    def _ask(self, key: str, kind: str, **what: str) -> bool:
        """Tell the process that has a leg what to do with it."""
        info = self.registry.find(key)
        if info is None:
            return False
        try:
            owner = self._store.call("HGET", f"leg:{info.call_control_id}", "owner")
        except RegistryAway:
            return False
        # Our own would be asked for ever; we do not hold it, or would not ask.
        if not owner or owner == self.process:
            return False
        return self._membership.tell(owner, kind=kind, leg=info.call_control_id, **what)

    # -- what others say --------------------------------------------------------------------------

    def _take(self, message: dict[str, Any]) -> None:
        kind, key = message.get("kind"), str(message.get("leg", ""))
        local = self._local
        if local is None:
            return
        if kind == "event":
            self._take_event(local, str(message.get("body", "")))
        elif kind == "begin":
            info = decode_info(str(message.get("info", "")))
            self._submit(info.call_leg_id, lambda: local.begin(info, placed=True))
        elif kind == "let go":
            self._let_go(local, key, int(message.get("epoch", 0)), str(message.get("to", "")))
        elif kind == "departed":
            with self._lock:
                awaited = self._awaited.get(key)
            if awaited is not None:
                awaited.set()
        elif kind == "hang up":
            local.hang_up(key)
        elif kind == "transfer":
            local.transfer(key, str(message.get("to", "")))

    def _take_event(self, local: Local, body: str) -> None:
        try:
            event = parse_event(body.encode())
        except EventError as error:
            logger.warning("ignored an event that another process sent: %s", error)
            return
        key = event.payload.call_leg_id or event.call_control_id
        self._submit(key, lambda: local.deliver(event, forwarded=True))

    # -- a leg goes over to another process -------------------------------------------------------

    def _ask_to_let_go(self, owner: str, key: str, epoch: int, wait: bool) -> None:
        departed = threading.Event()
        with self._lock:
            self._awaited[key] = departed
        try:
            told = self._membership.tell(
                owner, kind="let go", leg=key, epoch=epoch, to=self.process
            )
            if told and wait and not departed.wait(LET_GO):
                logger.warning("a process did not let go of a leg in time")
        finally:
            with self._lock:
                self._awaited.pop(key, None)

    def _let_go(self, local: Local, key: str, epoch: int, to: str) -> None:
        held = self.registry.epoch(key)
        if held and held >= epoch:
            # It has come back to us since.
            return
        if not local.let_go(key):
            self._submit(key, lambda: self._membership.tell(to, kind="departed", leg=key))

    # -- a process died ---------------------------------------------------------------------------

    def _bury(self, member: Member) -> None:
        """Take over what a dead process has left, as far as nobody else does."""
        with self._lock:
            if member.process in self._burials:
                return
            self._burials.add(member.process)
        if not self._submit(member.process, lambda: self._adopt_all(member)):
            with self._lock:
                self._burials.discard(member.process)

    def _adopt_all(self, member: Member) -> None:
        local = self._local
        events: list[str] = []
        try:
            # Once the last leg is taken nobody looks for what else there was.
            events = self.registry.salvage(member.process, member.beat)
            while local is not None:
                inheritance = self.registry.adopt(member.process, member.beat)
                if inheritance is None:
                    break
                logger.warning("took over a call of a process that died")
                local.take_over(inheritance)
        except RegistryAway as error:
            logger.warning("could not take over the calls of a process that died: %s", error)
        finally:
            with self._lock:
                self._burials.discard(member.process)
        for body in events:
            self._recover(body)

    def _recover(self, body: str) -> None:
        """Act on an event that a dead process was told of; its leg is here by now, or elsewhere."""
        local, event = self._local, parse_event(body.encode())
        if local is not None:
            logger.warning("acted on a webhook that a process which died had taken")
            self._submit(event.payload.call_leg_id, lambda: local.recover(event))

    # -- Redis is back ----------------------------------------------------------------------------

    def _reconcile(self) -> None:
        """Have Redis know our legs, and let go of those that others have taken meanwhile."""
        if self._local is None:
            return
        live = {leg.info.call_control_id: leg for leg in self._local.live()}
        for key, leg in live.items():
            parts = [*number(leg.history), *self.chronicle.kept(key)]
            ours = self.registry.confirm(leg.info, parts, talking=leg.talking, age=leg.age)
            if not ours:
                logger.warning("another process has taken a call while Redis was away")
                self._local.let_go(key)
        for key in self.registry.legs():
            if key not in live and not self.registry.epoch(key):
                self.registry.end(key)
