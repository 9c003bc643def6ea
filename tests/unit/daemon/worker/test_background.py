"""Every loop of a worker outlives its errors: it waits longer and longer, and says what fails."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from importlib import resources
from types import SimpleNamespace
from typing import Any

import pytest

from activityctl.adapters.memory.ports import memory_ports
from activityctl.daemon.worker.background import BackgroundLoops
from activityctl.daemon.worker.loops import Loop
from activityctl.daemon.worker.server_clock import ServerClock
from activityctl.errors import DatabaseDeniedError, UnreachableError, UnstorableError
from activityctl.steps.admit import AdmitStep
from activityctl.steps.places import Places
from activityctl.steps.record import RecordStep

NOW = datetime(2026, 5, 1, tzinfo=UTC)
TEN_MINUTES = 600.0
LOOPS = (
    "listen",
    "beat",
    "event",
    "firing",
    "cancel",
    "schedules",
    "queue",
    "wait",
    "remind",
    "drift",
    "watchdog",
    "recovery",
    "wake-up",
    "retention",
    "late-runs",
    "notices",
    "stuck-runs",
    "schema",
    "lost-events",
)


@dataclass
class Faults:
    """What every call of every port raises, and how many calls there were."""

    error: Exception | None = None
    calls: int = 0

    def meet(self) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error.with_traceback(None)  # else each raise makes the traceback longer


class Faulty:
    """A port whose every call meets the faults."""

    def __init__(self, port: object, faults: Faults) -> None:
        self._port = port
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._faults.meet()
            return found(*args, **kwargs)

        return call if callable(found) else found


class BenchClock(ServerClock):
    """The time of a bench."""

    def __init__(self, bench: "Bench") -> None:
        super().__init__(self._ask, wall=self)
        self._bench = bench

    def __call__(self) -> datetime:
        return self._bench.now

    async def _ask(self) -> datetime:
        return self._bench.now


class Bench:
    """The loops on memory ports that fail as a test wants, in a time that only waits move."""

    def __init__(self) -> None:
        self.now = NOW
        self.faults = Faults()
        self.lost: list[str] = []
        self.until: Callable[[], bool] = lambda: False
        self.stop = asyncio.Event()
        made = memory_ports()
        names = [each.name for each in fields(made)]
        ports: Any = SimpleNamespace(
            **{name: Faulty(getattr(made, name), self.faults) for name in names}
        )
        recorder = RecordStep(ports.runs, self._clock)
        admit = AdmitStep(ports.runs, ports.timetable, ports.gates, {}, self._clock)
        settings: Any = SimpleNamespace(event_retention=timedelta(days=30), retention="")
        self.background = BackgroundLoops(
            settings,
            ports,
            (ports.starter, ports.schedule_client),
            (admit, recorder, Places(1)),
            evaluator=lambda: None,
            check_schema=self._check_schema,
            clock=BenchClock(self),
            wait=self._wait,
        )
        self.background.look_for_lost_events(self._look)
        self.guard = self.background.guard

    def _clock(self) -> datetime:
        return self.now

    async def _check_schema(self) -> None:
        self.faults.meet()

    async def _look(self) -> list[str]:
        self.faults.meet()
        return self.lost

    async def _wait(self, _: asyncio.Event | None, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        if self.until():
            self.stop.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)

    def loop(self, name: str) -> Loop:
        (found,) = [loop for loop in self.background.loops if loop.name == name]
        return found

    async def run(self, name: str, until: Callable[[], bool]) -> None:
        """Run the loop until the condition holds at one of its waits."""
        self.until = until
        self.stop.clear()
        running = asyncio.create_task(self.background.run(self.loop(name)))
        try:
            async with asyncio.timeout(120):
                await self.stop.wait()
        finally:
            running.cancel()


def test_each_loop_has_a_row_in_the_guide_and_is_tested_here():
    assert tuple(loop.name for loop in Bench().background.loops) == LOOPS
    page = resources.files("activityctl.guide").joinpath("architecture.md").read_text()
    table = page[page.index("## What each loop does with an error") :]
    rows = [line.split("|")[1].strip().strip("`") for line in table.splitlines() if "|" in line]
    assert [row for row in rows if row in LOOPS] == list(LOOPS)


@pytest.mark.parametrize("name", LOOPS)
@pytest.mark.parametrize(
    ("error", "shortest"),
    [
        (UnreachableError("Postgres does not answer"), 2.5),
        (DatabaseDeniedError("a right was revoked"), 2.5),
        (UnstorableError("too large"), 30),
        (RuntimeError("a bug"), 30),
    ],
    ids=["outage", "denied", "refused", "bug"],
)
async def test_a_loop_neither_ends_nor_turns_while_its_error_lasts_and_goes_on_after_it(
    name: str, error: Exception, shortest: float
):
    bench = Bench()
    bench.faults.error = error
    await bench.run(name, lambda: bench.now - NOW > timedelta(seconds=TEN_MINUTES))
    pause = 1.0 if name == "beat" else shortest  # a beat that is late would make it look dead
    assert 10 <= bench.faults.calls <= 3 * (TEN_MINUTES / pause + 12)
    (trouble,) = bench.guard.troubles
    assert (trouble.loop, trouble.since) == (name, NOW)
    assert str(error) in trouble.error
    assert trouble.failures >= 10
    bench.faults.error = None
    if name == "listen":  # it works as long as its connection does
        listening = asyncio.create_task(bench.background.run(bench.loop(name)))
        async with asyncio.timeout(120):
            while bench.guard.troubles:
                await asyncio.sleep(0.01)
        listening.cancel()
    else:
        await bench.run(name, lambda: True)
    assert bench.guard.troubles == ()


async def test_a_loop_that_failed_once_does_not_wait_for_its_whole_period():
    bench = Bench()
    bench.faults.error = UnreachableError("away")
    tries = 0

    def after_one_failure() -> bool:
        nonlocal tries
        tries += 1
        if tries == 1:
            bench.faults.error = None
        return tries == 2

    await bench.run("retention", after_one_failure)
    assert bench.guard.troubles == ()
    assert bench.faults.calls == 3 + 3, (
        "the second try, of events, firings and refused requests, was before that wait"
    )


async def test_a_workflow_of_which_temporal_has_lost_events_is_marked():
    bench = Bench()
    bench.lost = ["w"]
    await bench.run("lost-events", lambda: True)
    await bench.background.stuck_runs.record()
    assert bench.background.stuck_runs.is_stuck("w")
