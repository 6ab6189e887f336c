"""How gunicorn serves the bridge: ``gunicorn -c python:bridge.gunicornconf wsgi:app``.

A call's media WebSocket is one request that lasts as long as the call and holds a thread.
"""

import logging
import math

from bridge import logs
from bridge.errors import BridgeError
from bridge.server import (  # noqa: F401 - gunicorn finds its hooks here
    CLOSING_SECONDS,
    child_exit,
    on_starting,
    post_fork,
    post_worker_init,
    worker_exit,
)
from bridge.settings import TO_TAKE_CALLS, Settings

try:
    _settings = Settings.from_environ(require=TO_TAKE_CALLS)
except BridgeError as _error:
    logs.give_up(_error)
logs.set_up(_settings)

bind = f"0.0.0.0:{_settings.port}"
worker_class = "gthread"
threads = _settings.threads
# Connections, those that wait for a thread or a further request included.
worker_connections = max(1000, 4 * threads)

# A call's webhooks and its media socket must reach the same process, unless what processes share
# is kept in Redis.
workers = _settings.web_concurrency if _settings.redis_url is not None else 1
if _settings.web_concurrency > workers:
    logging.getLogger("bridge").warning(
        "running one process, not the %d of WEB_CONCURRENCY: state is kept in memory; "
        "REDIS_URL allows more",
        _settings.web_concurrency,
    )

# Seconds without a sign of life of a worker's main thread, which gives one every second whatever
# its requests do.  It does not limit a request; it ends a process in which nothing moves.
timeout = 60
# Draining, then hanging up what is left; the master kills after this.
graceful_timeout = math.ceil(_settings.drain_seconds + CLOSING_SECONDS)
# Seconds that a connection waits for another request; also what a stopping worker lingers.
keepalive = 2
# A worker that is replaced after so many requests would cut its calls.
max_requests = 0

# The application is loaded after the fork: no thread of the master's ends up in a worker.
preload_app = False
# No file in anybody's home through which the server can be told things.
control_socket_disable = True

logger_class = "bridge.server.Logger"
loglevel = _settings.log_level
accesslog = "-"
# Neither addresses nor queries; a stream token in the path is masked with all other log lines.
access_log_format = "%(m)s %(U)s answered %(s)s, %(B)s bytes, %(M)s ms"
