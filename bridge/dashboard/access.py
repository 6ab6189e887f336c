"""Who may see the dashboard: a password, a signed cookie, and tokens in the forms.

A session is nothing but its cookie: the moment it ends, a random name, and a signature.  So every
process that has the same environment knows it, and none has to remember it.

Pure, but for random names and what processes count together: the time is an argument.

Rules of this module:

1. Secrets are compared in constant time, whatever their length.
2. The signing key comes from the password and from the API key together.  The API key cannot be
   guessed, so a stolen cookie tells nothing about the password; changing either ends all sessions.
3. A wrong password costs its sender time, and no thread of ours sleeps for that: too many of them
   are refused without a look, for one address soon and for all addresses together later.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
from collections import OrderedDict, deque
from typing import Protocol

__all__ = ["Attempts", "Gate", "Together"]

# Seconds that a session lasts: a working day.
LASTS = 12 * 3600

# Wrong passwords within WINDOW seconds, from one address and from everywhere.  A person mistypes a
# few times; at the latter rate eight random letters last for thousands of years.
WINDOW = 60.0
FROM_ONE = 5
FROM_ALL = 30

# Addresses that are remembered.
ADDRESSES = 1000

_TOKEN = re.compile(r"([0-9]{1,12})\.([0-9a-f]{32})\.([0-9a-f]{64})")


class Gate:
    """Lets people in who know the password."""

    def __init__(self, password: str, secret: str) -> None:
        """Make one.

        Args:
            password: ``BRIDGE_DASHBOARD_PASSWORD``.
            secret: something long that all processes have, and nobody else.
        """
        # Of equal length, whatever is compared.
        self._password = hashlib.sha256(password.encode()).digest()
        self._key = hmac.digest(secret.encode(), b"dashboard\0" + password.encode(), "sha256")

    def admits(self, password: str) -> bool:
        """Whether this is the password."""
        given = hashlib.sha256(password.encode(errors="replace")).digest()
        return hmac.compare_digest(given, self._password)

    def begin(self, now: float) -> str:
        """Make the cookie of a new session.

        Args:
            now: Unix seconds.
        """
        body = f"{int(now + LASTS)}.{secrets.token_hex(16)}"
        return f"{body}.{self._sign('session', body)}"

    def session(self, cookie: str | None, now: float) -> str | None:
        """Get the name of a cookie's session; ``None`` if it is none of ours, or over."""
        match = _TOKEN.fullmatch(cookie or "")
        if match is None:
            return None
        signature = self._sign("session", f"{match[1]}.{match[2]}")
        if not hmac.compare_digest(signature, match[3]) or int(match[1]) <= now:
            return None
        return match[2]

    def form_token(self, session: str) -> str:
        """Make the token that every form of a session carries."""
        return self._sign("form", session)

    def is_form_of(self, session: str, token: str) -> bool:
        """Whether a form with this token was made for this session."""
        expected = self.form_token(session).encode()
        return hmac.compare_digest(token.encode(errors="replace"), expected)

    def _sign(self, what: str, text: str) -> str:
        return hmac.new(self._key, f"{what}\0{text}".encode(), "sha256").hexdigest()


class Together(Protocol):
    """Counts tries for all processes."""

    def take(self, source: str, from_one: int, from_all: int, window: float) -> float:
        """Take a try; 0, or the seconds until there is one."""

    def give_back(self, source: str) -> None:
        """Give back the last try."""


class Attempts:
    """Counts tries of the password; any thread may call any method.

    A try counts before the password is looked at, so that many at once are not more than many one
    after another; the right password gives its own back.
    """

    def __init__(self, together: Together | None = None) -> None:
        """Begin with none.

        Args:
            together: counts for all processes, if they can; it may block for a second.
        """
        self._together = together
        # Guards the two below: when there was a try, in seconds, oldest first.
        self._lock = threading.Lock()
        self._all: deque[float] = deque(maxlen=FROM_ALL)
        self._by_address: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, address: str, now: float) -> float:
        """Take a try for an address.

        Returns:
            0; or the seconds until it has another, and this one must not be looked at.
        """
        wait = self._take(address, now)
        if wait > 0 or self._together is None:
            return wait
        wait = self._together.take(address, FROM_ONE, FROM_ALL, WINDOW)
        if wait > 0:
            self._give_back(address)
        return wait

    def give_back(self, address: str) -> None:
        """Count the last try no longer: the password was right."""
        self._give_back(address)
        if self._together is not None:
            self._together.give_back(address)

    def _take(self, address: str, now: float) -> float:
        with self._lock:
            mine = self._by_address.setdefault(address, deque(maxlen=FROM_ONE))
            self._by_address.move_to_end(address)
            while len(self._by_address) > ADDRESSES:
                self._by_address.popitem(last=False)
            waits = [
                times[0] + WINDOW - now
                for times, limit in ((mine, FROM_ONE), (self._all, FROM_ALL))
                if len(times) == limit
            ]
            wait = max(0.0, *waits) if waits else 0.0
            if wait <= 0:
                mine.append(now)
                self._all.append(now)
            return wait

    def _give_back(self, address: str) -> None:
        with self._lock:
            for times in (self._by_address.get(address), self._all):
                if times:
                    times.pop()
