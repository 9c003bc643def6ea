"""Loops that fail go on, later and later, and say what fails."""

from datetime import UTC, datetime, timedelta

import pytest

from activityctl.daemon.worker.loop_guard import LoopGuard
from activityctl.errors import UnreachableError

NOW = datetime(2026, 5, 1, tzinfo=UTC)


class Bench:
    """A guard whose clock moves with its sleeps."""

    def __init__(self) -> None:
        self.now = NOW
        self.pauses: list[float] = []
        self.error: Exception | None = None
        self.guard = LoopGuard(lambda: self.now, self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += timedelta(seconds=seconds)

    async def work(self) -> str:
        if self.error is not None:
            raise self.error
        return "done"

    async def fail(self, times: int, error: Exception) -> None:
        self.error = error
        for _ in range(times):
            assert await self.guard.attempt("router", self.work) is None


@pytest.mark.parametrize(
    ("error", "first", "longest"),
    [(UnreachableError("away"), 0.5, 5), (RuntimeError("a bug"), 1, 60)],
)
async def test_each_failure_doubles_the_pause_up_to_a_limit(
    error: Exception, first: float, longest: float
):
    bench = Bench()
    await bench.fail(20, error)
    assert first / 2 <= bench.pauses[0] <= first
    assert all(longest / 2 <= pause <= longest for pause in bench.pauses[-5:])
    assert sum(bench.pauses[:4]) < sum(bench.pauses[4:8])


async def test_a_loop_that_fails_is_told_with_its_last_error_until_it_succeeds(
    caplog: pytest.LogCaptureFixture,
):
    bench = Bench()
    caplog.set_level("INFO")
    await bench.fail(2, UnreachableError("away"))
    await bench.fail(1, KeyError("k"))
    (trouble,) = bench.guard.troubles
    assert (trouble.loop, trouble.since, trouble.failures) == ("router", NOW, 3)
    assert trouble.error == "KeyError: 'k'"
    bench.error = None
    assert await bench.guard.attempt("router", bench.work) == "done"
    assert bench.guard.troubles == ()
    assert "worker loop router works again after 3 failures" in caplog.text


async def test_one_loop_does_not_slow_another():
    bench = Bench()
    await bench.fail(10, UnreachableError("away"))
    bench.pauses.clear()
    await bench.guard.attempt("beat", bench.work)
    assert bench.pauses[0] <= 0.5
