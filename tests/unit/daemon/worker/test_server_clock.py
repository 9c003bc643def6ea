"""ServerClock: Postgres' time between two questions, whatever the machine's clock shows."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from activityctl.daemon.worker.server_clock import ServerClock

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


class Machine:
    """A machine: its monotonic clock, its wall clock, and a Postgres with a clock of its own."""

    def __init__(self, *, ahead: timedelta = timedelta(), trips: Sequence[float] = ()) -> None:
        self.counted = 1000.0
        self.ahead = ahead
        self.postgres_ahead = timedelta()
        self.trips = list(trips)
        self.clock = ServerClock(self._ask, lambda: self.counted, lambda: self.true + self.ahead)

    @property
    def true(self) -> datetime:
        return NOON + seconds(self.counted - 1000)

    async def _ask(self) -> datetime:
        trip = self.trips.pop(0) if self.trips else 0.0
        self.counted += trip  # all of it on the way there, the worst case
        return self.true + self.postgres_ahead


async def test_it_tells_the_time_of_postgres_whatever_the_machine_says():
    for ahead in (timedelta(hours=1), timedelta(hours=-1)):
        machine = Machine(ahead=ahead)
        await machine.clock.synchronise()
        machine.counted += 90
        assert machine.clock() == NOON + seconds(90)


async def test_the_fastest_answer_counts():
    machine = Machine(trips=[0.01, 0.4, 0.3])
    for _ in range(3):
        await machine.clock.synchronise()
    assert abs(machine.clock() - machine.true) <= seconds(0.005)


async def test_a_change_of_the_machines_clock_changes_nothing():
    machine = Machine()
    await machine.clock.synchronise()
    before = machine.clock()
    machine.ahead = timedelta(hours=-2)
    machine.counted += 1
    assert machine.clock() - before == seconds(1)


async def test_it_follows_a_change_of_postgres_clock_and_never_goes_back():
    machine = Machine()
    await machine.clock.synchronise()
    machine.postgres_ahead = seconds(60)
    await machine.clock.synchronise()
    assert machine.clock() == NOON + seconds(60)
    machine.postgres_ahead = seconds(-60)
    await machine.clock.synchronise()
    assert machine.clock() == NOON + seconds(60)
    machine.counted += 130
    assert machine.clock() == NOON + seconds(70)


async def test_it_says_how_wrong_the_machine_is_and_since_when():
    machine = Machine(ahead=timedelta(minutes=-90))
    await machine.clock.synchronise()
    first = machine.clock.trouble
    assert first is not None
    assert "is 1h30m behind Postgres' clock" in first.error
    machine.counted += 10
    second = machine.clock.trouble
    assert second is not None
    assert second.since == first.since
    machine.ahead = seconds(1)
    assert machine.clock.trouble is None
