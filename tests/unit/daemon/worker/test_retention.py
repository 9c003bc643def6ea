"""Retention: rows that are too old are removed in small batches, and no other rows."""

import asyncio
import logging
from datetime import timedelta

import pytest

from activityctl.daemon.worker.retention import Retention


class Store:
    """A store with a number of old rows; it records the calls of `remove`."""

    def __init__(self, old: int) -> None:
        self.old = old
        self.calls: list[tuple[timedelta, int]] = []

    async def remove(self, age: timedelta, limit: int) -> int:
        self.calls.append((age, limit))
        removed = min(limit, self.old)
        self.old -= removed
        return removed


def retention(archive: Store, outbox: Store, keep: timedelta, **batch: int) -> Retention:
    return Retention(archive, outbox, keep, **batch)  # type: ignore[arg-type]


async def test_old_rows_are_removed_in_batches_and_logged(
    caplog: pytest.LogCaptureFixture,
):
    archive, outbox, keep = Store(5), Store(3), timedelta(days=30)
    with caplog.at_level(logging.INFO, "activityctl"):
        assert await retention(archive, outbox, keep, batch=2).sweep() == 8
    assert archive.calls == [(keep, 2)] * 3
    assert outbox.calls == [(keep, 2)] * 2
    assert caplog.messages == [
        "removed 5 events older than 30d",
        "removed 3 firings older than 30d",
    ]


async def test_a_cancelled_sweep_logs_what_it_removed(caplog: pytest.LogCaptureFixture):
    sweep = retention(Store(1_000), Store(0), timedelta(days=1), batch=1).sweep()
    with caplog.at_level(logging.INFO, "activityctl"), pytest.raises(TimeoutError):
        await asyncio.wait_for(sweep, 0.01)
    assert caplog.messages == ["removed 1 events older than 1d"]


async def test_a_sweep_without_old_rows_logs_nothing(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO, "activityctl"):
        assert await retention(Store(0), Store(0), timedelta(days=30)).sweep() == 0
    assert caplog.messages == []


async def test_refused_requests_go_after_a_month_whatever_else_is_kept_or_fails():
    class Broken(Store):
        async def remove(self, age: timedelta, limit: int) -> int:
            await super().remove(age, limit)
            raise LookupError

    sources = Store(3)
    kept = Retention(Store(1), Store(1), timedelta(0), sources=sources)  # type: ignore[arg-type]
    assert await kept.sweep() == 3
    assert sources.calls == [(timedelta(days=30), 500)]
    sources.old = 1
    broken = Retention(Broken(1), Store(1), timedelta(1), sources=sources)  # type: ignore[arg-type]
    with pytest.raises(LookupError):
        await broken.sweep()
    assert sources.old == 0


async def test_zero_keeps_everything_for_ever():
    archive, outbox = Store(5), Store(5)
    assert await retention(archive, outbox, timedelta(0)).sweep() == 0
    assert archive.calls == outbox.calls == []
