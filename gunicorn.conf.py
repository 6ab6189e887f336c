"""How gunicorn serves the bridge; ``gunicorn wsgi:app`` reads this file by itself."""

from bridge.gunicornconf import *  # noqa: F403 - gunicorn reads the names of this module
