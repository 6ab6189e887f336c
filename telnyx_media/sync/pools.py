"""Close an HTTP session's connections, whoever still holds what came over them.

``requests.Session.close`` only forgets its pools of connections.  An answer holds its pool, a
traceback holds the answer, and who keeps an error keeps its traceback: so the pool lives on, with
sockets that are open.
"""

from __future__ import annotations

import requests
from requests.adapters import HTTPAdapter

__all__ = ["close_session"]


def close_session(session: requests.Session) -> None:
    """Close a session and its idle connections; those in use are closed when they are given back.

    May be called twice, from any thread.
    """
    for adapter in session.adapters.values():
        if isinstance(adapter, HTTPAdapter):
            for manager in (adapter.poolmanager, *adapter.proxy_manager.values()):
                pools = manager.pools
                for pool in (pools.get(key) for key in pools.keys()):  # noqa: SIM118 - no iterator
                    if pool is not None:
                        pool.close()
    session.close()
