"""The pool that does the work of webhooks."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict

import pytest

from bridge.workpool import WorkPool
from telnyx_media.sync.threads import ThreadGroup
from tests.loopback import PATIENCE, wait_until


def test_the_jobs_of_one_key_are_done_in_order() -> None:
    """However many threads there are, and whoever submits."""
    done: dict[str, list[int]] = defaultdict(list)
    with WorkPool(size=8, limit=2000) as pool, ThreadGroup("test") as group:

        def submit(key: str) -> None:
            for number in range(100):
                assert pool.submit(key, lambda n=number: done[key].append(n))  # type: ignore[misc]

        for key in "abcdefghij":
            group.spawn("submit", submit, key)
        wait_until(lambda: sum(map(len, done.values())) == 1000)
    assert all(numbers == list(range(100)) for numbers in done.values())


def test_a_slow_job_holds_up_its_own_key_only() -> None:
    """One REST command that hangs is one call that waits."""
    release = threading.Event()
    done: list[str] = []
    with WorkPool(size=3) as pool:
        for slow in ("a", "b"):
            pool.submit(slow, lambda: release.wait(PATIENCE))
        pool.submit("a", lambda: done.append("a"))
        for _ in range(5):
            pool.submit("c", lambda: done.append("c"))
        wait_until(lambda: done == ["c"] * 5)
        release.set()
        wait_until(lambda: done[-1] == "a")


def test_threads_come_with_the_work() -> None:
    """None before the first job, one while one is enough, never more than allowed."""
    release = threading.Event()
    with WorkPool(size=2, tag="size") as pool:

        def threads() -> int:
            return sum(t.name == "pool/size" for t in threading.enumerate())

        assert threads() == 0
        ran = threading.Event()
        pool.submit("a", ran.set)
        assert ran.wait(PATIENCE)
        wait_until(lambda: len(pool) == 0)
        assert threads() == 1
        for key in "abcd":
            pool.submit(key, lambda: release.wait(PATIENCE))
        assert threads() == 2
        release.set()
        wait_until(lambda: len(pool) == 0)


def test_a_full_pool_refuses() -> None:
    """What is being done counts; as soon as something is done there is room."""
    release = threading.Event()
    with WorkPool(size=1, limit=3) as pool:
        assert pool.submit("a", lambda: release.wait(PATIENCE))
        assert pool.submit("a", lambda: None)
        assert pool.submit("b", lambda: None)
        assert not pool.submit("c", lambda: None)
        assert not pool.submit("a", lambda: None)
        assert len(pool) == 3
        release.set()
        wait_until(lambda: len(pool) == 0)
        assert pool.submit("c", lambda: None)


def test_a_job_that_raises_is_logged_and_the_next_one_is_done(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Of the same key, on the same thread."""
    done = threading.Event()
    with WorkPool(size=1) as pool:
        pool.submit("a", lambda: 1 / 0)
        pool.submit("a", done.set)
        assert done.wait(PATIENCE)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None


def test_a_closed_pool_takes_nothing() -> None:
    """What waits is dropped, what is being done is finished; twice is once."""
    started, release, later = threading.Event(), threading.Event(), threading.Event()

    def job() -> None:
        started.set()
        release.wait(PATIENCE)

    pool = WorkPool(size=1)
    pool.submit("a", job)
    pool.submit("a", later.set)
    pool.submit("b", later.set)
    assert started.wait(PATIENCE)
    with ThreadGroup("test") as group:
        group.spawn("close", pool.close)
        wait_until(lambda: not pool.submit("c", later.set))
        release.set()
    assert pool.close()
    assert not later.is_set()
    assert not pool.submit("c", later.set)


def test_closing_has_a_deadline(caplog: pytest.LogCaptureFixture) -> None:
    """A job that does not end is named and left."""
    release = threading.Event()
    started = threading.Event()

    def job() -> None:
        started.set()
        release.wait(PATIENCE)

    pool = WorkPool(size=1, tag="late")
    pool.submit("a", job)
    assert started.wait(PATIENCE)
    assert not pool.close(timeout=0.05)
    assert "pool/late" in caplog.text
    release.set()
    assert pool.close()


def test_a_pool_that_never_worked_closes() -> None:
    """Stop before start."""
    assert WorkPool().close()
