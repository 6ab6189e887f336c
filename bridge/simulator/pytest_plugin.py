"""The pytest fixture ``telnyx``: Telnyx on loopback for one test.

Nothing heavy is imported before a test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bridge.simulator import Simulator


@pytest.fixture(name="telnyx")
def telnyx_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A running simulator, to which the environment variables of this test point.

    Set ``telnyx.webhook_url`` to where the application listens, then place calls with
    ``telnyx.place_call``.  Faults are switched on by ``telnyx.faults``.  Whatever failed inside the
    simulator fails the test.
    """
    from bridge.simulator import Simulator

    with Simulator() as simulator:
        for name, value in simulator.environ.items():
            monkeypatch.setenv(name, value)
        yield simulator
