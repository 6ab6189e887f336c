"""The real app, for gunicorn, with the demo listening in.

The difference to ``wsgi:app`` is one observer, which is how any program may listen in.
"""

from __future__ import annotations

from pathlib import Path

from flask import Flask

from bridge.app import create_app
from bridge.demo.journal import JournalObserver


def make_app(journal: str) -> Flask:
    """Make the app from the environment and write what happens on its calls into ``journal``."""
    return create_app(observers=[JournalObserver(Path(journal))])
