"""The pytest fixtures ``telnyx`` and ``answering``: a phone line for one test.

Nothing heavy is imported before a test asks for a fixture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from bridge.simulator import Simulator
    from bridge.simulator.answering import Answering


@pytest.fixture(name="telnyx")
def telnyx_fixture(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A running simulator, to which the environment variables of this test point.

    Set ``telnyx.webhook_url`` to where the application listens, then place calls with
    ``telnyx.place_call``.  Faults are switched on by ``telnyx.faults``.  Whatever failed inside the
    simulator fails the test.
    """
    from bridge.simulator import Simulator

    # The voice that the embedded recogniser understands best.
    with Simulator(caller_voice="low") as simulator:
        for name, value in simulator.environ.items():
            monkeypatch.setenv(name, value)
        yield simulator


@pytest.fixture(name="answering")
def answering_fixture(telnyx: Simulator) -> Iterator[Callable[..., Answering]]:
    """A function that has the calls of ``telnyx`` answered by an agent function, by the real app.

    It gets an :class:`~bridge.simulator.answering.Answering`, which tells what was said and heard::

        def test_the_caller_is_greeted(telnyx, answering):
            app = answering(answer)
            telnyx.place_call(caller=[{"say": "Hello."}, {"hangup": True}]).wait(60)
            assert app.said[0].startswith("Welcome")
    """
    from bridge.simulator.answering import Answering

    with ExitStack() as stack:

        def answer(agent: Callable[..., object], **variables: str) -> Answering:
            return stack.enter_context(Answering(telnyx, agent, variables))

        yield answer
