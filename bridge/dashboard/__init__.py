"""Pages for people: the calls as they happen, and those that have been.

``access`` says who may see them, ``views`` makes of records what a page shows, ``waveform`` draws
recordings, ``health`` sums up how the parts have done, ``troubles`` keeps the last warnings, and
``routes`` puts them on the web.
"""

from bridge.dashboard.routes import Dashboard, make_blueprint

__all__ = ["Dashboard", "make_blueprint"]
