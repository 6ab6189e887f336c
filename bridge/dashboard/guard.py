"""What every request to the dashboard passes: the session, the origin, the headers.

Threads: a request's own.

Rules of this module:

1. Nothing is shown, and nothing done, without a session; the sign-in page and the files that make
   it look right are all there is for strangers.
2. Nothing is changed but by a POST from a page of ours, with that session's form token.
3. A page loads and runs what is ours, and nothing that stands in it: no inline script or style.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

from flask import g, redirect, request, url_for
from werkzeug.exceptions import Forbidden, Unauthorized
from werkzeug.wrappers import Response as AnyResponse

from bridge.dashboard.access import LASTS, Attempts, Gate, Together

__all__ = ["ROOT", "Guard"]

logger = logging.getLogger(__name__)

ROOT = "/dashboard"

# The names of our cookies: the session, and whether it shows numbers in full.
SESSION, NUMBERS = "bridge_session", "bridge_numbers"

# Bytes of a form.
BODY_LIMIT = 16 * 1024

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": then a form's POST would not say where it comes from.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "X-Robots-Tag": "noindex, nofollow",
}

R = TypeVar("R", bound=AnyResponse)


class Guard:
    """Lets requests of the dashboard through, or not."""

    def __init__(
        self,
        gate: Gate,
        public_url: str | None,
        *,
        together: Together | None = None,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make one.

        Args:
            gate: knows the password.
            public_url: ``PUBLIC_URL``.
            together: counts wrong passwords for all processes, if they can.
            clock: Unix seconds.
            steady: seconds, for counting wrong passwords.
        """
        self._gate = gate
        self._public = urlsplit(public_url or "")
        self._attempts = Attempts(together)
        self._clock = clock
        self._steady = steady

    # -- before and after every request -----------------------------------------------------------

    def enter(self) -> AnyResponse | None:
        """Know the session, and turn away who has none; ``None`` lets the request through."""
        request.max_content_length = BODY_LIMIT
        g.session = self._gate.session(request.cookies.get(SESSION), self._clock())
        if request.endpoint in ("dashboard.sign_in", "dashboard.static"):
            return None
        if g.session is None:
            # What the script asks for is no page to be sent elsewhere.
            if request.headers.get("X-Requested-With"):
                raise Unauthorized
            return redirect(url_for("dashboard.sign_in", next=self._wanted()), 303)
        if request.method == "POST":
            self.require_own_origin()
            if not self._gate.is_form_of(g.session, request.form.get("token", "")):
                logger.warning("refused a form of the dashboard: it is of no page of this session")
                raise Forbidden
        return None

    def leave(self, response: R) -> R:
        """Add the headers."""
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if self._secure:
            response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        response.headers.setdefault("Cache-Control", "private, no-store")
        return response

    def form_token(self) -> str:
        """Get the token for the forms of this request's page; ``""`` without a session."""
        return self._gate.form_token(g.session) if g.get("session") else ""

    def require_own_origin(self) -> None:
        """Refuse what a page of somebody else has sent.

        Raises:
            Forbidden: it was one.
        """
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise Forbidden
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc not in (
            request.host,
            self._public.netloc,
        ):
            raise Forbidden

    # -- signing in -------------------------------------------------------------------------------

    def try_password(self, password: str) -> str | float:
        """Get a new session's cookie for the password; else the seconds to wait before another."""
        address = self._address()
        wait = self._attempts.take(address, self._steady())
        if wait > 0:
            return wait
        if self._gate.admits(password):
            self._attempts.give_back(address)
            logger.info("someone signed in to the dashboard")
            return self._gate.begin(self._clock())
        logger.warning("refused a password of the dashboard")
        return 0.0

    def keep_session(self, response: AnyResponse, cookie: str) -> None:
        """Have the browser keep a session's cookie."""
        self._set(response, SESSION, cookie, LASTS)

    def end_session(self, response: AnyResponse) -> None:
        """Have the browser forget its cookies."""
        for name in (SESSION, NUMBERS):
            response.delete_cookie(name, path=ROOT)

    @property
    def numbers_shown(self) -> bool:
        """Whether this browser wants to see numbers in full."""
        return request.cookies.get(NUMBERS) == "shown"

    def show_numbers(self, response: AnyResponse, shown: bool) -> None:
        """Have the browser want so, until it is closed."""
        self._set(response, NUMBERS, "shown" if shown else "masked", None)

    def _set(self, response: AnyResponse, name: str, value: str, seconds: int | None) -> None:
        response.set_cookie(
            name, value, max_age=seconds, path=ROOT, secure=self._secure, httponly=True,
            samesite="Strict",
        )  # fmt: skip

    @property
    def _secure(self) -> bool:
        """Whether the browser has come by https, perhaps to a proxy before us."""
        forwarded = request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip()
        public = self._public.scheme == "https" and request.host == self._public.netloc
        return request.is_secure or forwarded == "https" or public

    def _address(self) -> str:
        """Tell senders apart, as well as can be: the nearest proxy's word, if there is a proxy.

        Who is not behind one can write what he likes there, and meets the limit for all.
        """
        forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        return f"{request.remote_addr} {forwarded}"[:100]

    def _wanted(self) -> str | None:
        """Get the page to go to after signing in: the one asked for, if it is a page."""
        return request.path if request.method == "GET" else None


def is_ours(path: str) -> bool:
    """Whether a path is one of the dashboard's, and not another site in disguise."""
    return (path == ROOT or path.startswith(f"{ROOT}/")) and not set(path) & set("\\\r\n\t?#")
