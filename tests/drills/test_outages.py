"""Outages while schedules fire every few seconds: each nominal time has one, correct outcome.

    DRILL_SEED=7 DRILL_FULL=1 pytest tests/drills/test_outages.py -rP

repeats a drill with the seed that an earlier drill printed. The seed chooses the moment and the
length of each outage. Without DRILL_FULL there is one short outage. With DRILL_FULL=1 one daemon,
started as `up` does, goes through all outages, one after the other.
"""

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from activityctl.daemon.local.embedded_postgres import processes_of
from activityctl.domain.timing.misfires import MISFIRE_GRACE
from support.drilled import Drill, Receiver, receiving, seed
from support.forked import run_command
from support.outages import AT_THE_EDGE, Outage, Row, before_prevented, counted, grouped, meanwhile

FULL = os.environ.get("DRILL_FULL") == "1"
PATIENCE = 150.0
SHORT_WINDOW = timedelta(seconds=10)
JITTER = timedelta(seconds=2)
START = timedelta(seconds=5)
"""How long a run that may start can take to begin on a busy machine."""

OUTAGES: Mapping[str, tuple[str, signal.Signals]] = {
    "temporal is frozen": ("temporal", signal.SIGSTOP),
    "temporal is killed": ("temporal", signal.SIGKILL),
    "postgres is stopped": ("postgres", signal.SIGINT),
    "postgres is killed": ("postgres", signal.SIGKILL),
    "postgres is frozen": ("postgres", signal.SIGSTOP),
    "worker is killed": ("worker", signal.SIGKILL),
    "worker is frozen": ("worker", signal.SIGSTOP),
}
PAUSED = "the subscription is paused"
MISFIRES: Mapping[str, Mapping[str, Any]] = {
    "skip": {"misfire": {"policy": "skip"}},
    "once": {"misfire": {"policy": "fire_once"}},
    "all": {"misfire": {"policy": "fire_all"}},
    "short": {"misfire": {"policy": "fire_all", "window": "10s"}},
    "jittered": {"misfire": {"policy": "skip"}, "jitter": "2s"},
}
HELD_UP = """
    SELECT 1 FROM firings f LEFT JOIN runs r USING (subscription_id, trigger, firing_key)
    WHERE r.id IS NULL AND f.created_at < now() - interval '5 seconds'"""
RUNS = """
    SELECT r.id, s.name, r.trigger, r.due_at, r.status, r.reason, r.created_at, r.started_at,
        f.created_at AS fired_at, f.fires_at
    FROM runs r JOIN subscriptions s ON s.id = r.subscription_id
    LEFT JOIN firings f USING (subscription_id, trigger, firing_key)
    ORDER BY r.due_at"""


class OutageDrill(Drill):
    """A daemon with schedules, and the outages of its components."""

    def __init__(self, home: Path, chance: random.Random, receiver: Receiver) -> None:
        super().__init__(home, chance)
        self.receiver = receiver
        self.every = {name: timedelta(seconds=chance.randint(2, 5)) for name in MISFIRES}
        self.every["jittered"] = max(self.every["jittered"], JITTER + timedelta(seconds=1))

    def command(self, *words: str) -> Any:
        """Run the real command and return its JSON output, or None."""
        done = run_command("--home", str(self.home), *words, environment=os.environ)
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout) if "json" in words else None

    def apply(self) -> None:
        path = self.home.with_name("drill.yaml")
        path.write_text("\n---\n".join(json.dumps(manifest) for manifest in self.manifests()))
        self.command("apply", "-f", str(path))

    def manifests(self) -> Iterator[Mapping[str, Any]]:
        for name, misfire in MISFIRES.items():
            seconds = int(self.every[name].total_seconds())
            spec = {
                "triggers": [
                    {"name": "ticks", "interval": {"every": f"{seconds}s", **misfire}},
                    {"name": "minutes", "cron": {"schedule": "* * * * *", **misfire}},
                ],
                "tasks": [
                    {
                        "name": "tell",
                        "http": {"method": "POST", "url": f"{self.receiver.url}/{name}"},
                        "retry": {"maxAttempts": 3},
                    }
                ],
            }
            head = {"apiVersion": "activityctl/v1", "metadata": {"name": name}}
            yield {**head, "kind": "ActivityDefinition", "spec": spec}
            yield {**head, "kind": "Subscription", "spec": {"activity": name}}

    def cause_outage(self, name: str, seconds: float) -> Outage:
        """Stop a component for that long, then wait until every schedule fires again."""
        component, number = OUTAGES[name]
        with self._held_down(component, number):
            down = now()
            time.sleep(seconds)
        up = now()
        self.until(lambda: self._fire_since(up), f"the schedules fire again after {name}")
        return Outage(name, down, up, now())

    @contextmanager
    def _held_down(self, component: str, number: signal.Signals) -> Iterator[None]:
        """Signal the processes; meanwhile freeze the supervisor, which would restart them."""
        is_postgres = component == "postgres"
        data = self.home / "postgres"
        targets = processes_of(data) if is_postgres else [self.process_of(component)]
        if number is signal.SIGINT:  # only the postmaster does a fast shutdown
            targets = [process for process in targets if process.parent() not in targets]
        with self.without_restarts():
            try:
                for process in targets:
                    with suppress(psutil.NoSuchProcess):
                        process.send_signal(number)
                yield
            finally:
                for process in targets if number is signal.SIGSTOP else ():
                    process.resume()

    def _fire_since(self, moment: datetime) -> bool:
        """Return whether each interval trigger has a succeeded run due after the moment."""
        latest = {row.name: row for row in self.rows() if row.trigger == "ticks" and row.ran}
        return all(name in latest and latest[name].due_at > moment for name in MISFIRES)

    def rest(self) -> None:
        """Wait for what the outages held up, pause all subscriptions, wait for the last runs."""
        self.until(lambda: not self.fetch(HELD_UP), "what was held up has runs")
        for name in MISFIRES:
            self.command("pause", name)
        self.until(self._is_at_rest, "every run ends")

    def _is_at_rest(self) -> bool:
        waiting = self.fetch("SELECT id FROM firings WHERE dispatched_at IS NULL")
        known = {row.id for row in self.rows()}
        started = self.fetch("SELECT count(*) FROM firings")[0][0]
        has_run = sum(row.fired_at is not None for row in self.rows())
        open_runs = self.fetch("SELECT id FROM runs WHERE ended_at IS NULL")
        return bool(known) and not waiting and not open_runs and has_run == started

    def rows(self) -> list[Row]:
        return [Row(*values) for values in self.fetch(RUNS)]

    def fetch(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url, connect_timeout=5) as connection:
            return connection.execute(query.encode(), values).fetchall()

    def life_of(self, name: str, trigger: str) -> tuple[datetime, datetime]:
        """Return when the schedule was applied, and up to when the pause decided its times."""
        query = """SELECT s.created_at, greatest(s.paused_at, c.cursor) FROM schedules c
            JOIN subscriptions s ON s.id = c.subscription_id
            WHERE s.name = %s AND c.trigger = %s"""
        ((began, ended),) = self.fetch(query, name, trigger)
        return began, ended

    def until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            with suppress(psycopg.OperationalError, KeyError):
                if holds():
                    return
            assert time.monotonic() < deadline, f"not true after {PATIENCE:.0f} s: {what}"
            time.sleep(0.3)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def drill(tmp_path: Path) -> Iterator[OutageDrill]:
    chance = random.Random(seed())
    with receiving() as receiver:
        drill = OutageDrill(tmp_path / "home", chance, receiver)
        with drill.running():
            yield drill


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_nominal_time_has_one_outcome_after_outages(drill: OutageDrill) -> None:
    drill.apply()
    drill.until(lambda: drill._fire_since(datetime.min.replace(tzinfo=UTC)), "the first runs")
    names = drill.chance.sample(sorted(OUTAGES), len(OUTAGES) if FULL else 1)
    outages = []
    for name in names:
        longest = 60.0 if name == "temporal is killed" else 32.0
        seconds = drill.chance.uniform(20, longest) if FULL else 20
        time.sleep(drill.chance.uniform(1, 4))
        outages.append(drill.cause_outage(name, seconds))
        print(outages[-1])
    drill.rest()
    rows = drill.rows()
    for name in MISFIRES:
        print(name, counted([row for row in rows if row.name == name]))

    distances = {
        **{(name, "ticks"): every for name, every in drill.every.items()},
        **{(name, "minutes"): timedelta(minutes=1) for name in MISFIRES},
    }
    for (name, trigger), every in distances.items():
        own = [row for row in rows if (row.name, row.trigger) == (name, trigger)]
        check_each_time_has_one_row(own, every, drill.life_of(name, trigger))
        CHECKS[name]([row for row in own if row.reason != PAUSED], every, outages)
    check_effects(drill, rows)
    check_what_get_shows(drill, rows)


def check_each_time_has_one_row(
    rows: Sequence[Row], every: timedelta, life: tuple[datetime, datetime]
) -> None:
    """Check that there is one row for each time from apply to pause, and a reason if missed."""
    zero = datetime.fromtimestamp(0, UTC)
    began, ended = life
    first = rows[0].due_at if rows else ended
    assert began < first <= began + every + AT_THE_EDGE  # times count from the commit of the apply
    numbers = range(-((zero - first) // every), (ended - zero) // every + 1)
    assert [row.due_at for row in rows] == [zero + every * number for number in numbers]
    paused = [row for row in rows if row.reason == PAUSED]  # due when the pause was set
    assert all(row.due_at > ended - timedelta(seconds=60) for row in paused), paused
    assert {row.status for row in rows} <= {"succeeded", "missed"}
    late = [row for row in rows if row.status == "missed" and row.reason != PAUSED]
    assert all(" late" in (row.reason or "") for row in late)


def check_skip(rows: Sequence[Row], every: timedelta, outages: Sequence[Outage]) -> None:
    """Check that no run started late, and that all times during an outage were missed."""
    for row in rows:
        if row.ran:
            assert row.started_at is not None
            assert row.fires_at is not None
            assert row.fires_at - row.due_at < JITTER
            assert row.started_at - row.fires_at <= MISFIRE_GRACE + START, row
        else:
            assert "misfire policy skip" in (row.reason or ""), row
    assert not [row for row in meanwhile(rows, every, outages) if row.ran]


def check_once(rows: Sequence[Row], every: timedelta, outages: Sequence[Outage]) -> None:
    """Check that of the times decided together only the latest ran.

    If an outage began before that one had started, it was decided again, without the others.
    """
    overtaken = before_prevented(rows)
    for moment, together in grouped([row for row in rows if not row.was_prevented]).items():
        *earlier, latest = together
        last = latest.due_at + (every if latest.id in overtaken else timedelta(0))
        assert latest.ran or latest.id in overtaken, latest
        assert last > moment - every - AT_THE_EDGE, latest
        assert not [row for row in earlier if row.ran], together
    for row in rows:
        assert row.ran or "fire_once: a later firing runs" in (row.reason or ""), row
    assert not [row for row in meanwhile(rows, every, outages) if row.ran]


def check_all(rows: Sequence[Row], _: timedelta, __: Sequence[Outage]) -> None:
    """Check that no time was missed."""
    assert {row.status for row in rows} <= {"succeeded"}


def check_short(rows: Sequence[Row], every: timedelta, outages: Sequence[Outage]) -> None:
    """Check that times within the window ran and others did not.

    The latest time counts as on time for MISFIRE_GRACE, which is longer than the window.
    """
    overtaken = before_prevented(rows)
    for together in grouped(rows).values():
        for row in together:
            late = row.decided_at - row.due_at
            limit = MISFIRE_GRACE if row is together[-1] else SHORT_WINDOW
            is_within = late <= (SHORT_WINDOW if row.id in overtaken and not row.ran else limit)
            assert row.ran == is_within, row
            assert row.ran or "over the misfire window of 10s" in (row.reason or ""), row
    beyond = max(every, SHORT_WINDOW)
    assert not [row for row in meanwhile(rows, beyond, outages) if row.ran]


CHECKS: Mapping[str, Callable[[Sequence[Row], timedelta, Sequence[Outage]], None]] = {
    "skip": check_skip,
    "once": check_once,
    "all": check_all,
    "short": check_short,
    "jittered": check_skip,
}


def check_effects(drill: OutageDrill, rows: Sequence[Row]) -> None:
    """Check that each run called the receiver once; again only after a lost attempt."""
    tasks = drill.fetch("SELECT id, run_id, attempts FROM tasks")
    assert Counter(run for _, run, _ in tasks) == Counter(row.id for row in rows if row.ran)
    calls = Counter(key for _, key, _ in drill.receiver.received)
    assert set(calls) == {task for task, _, _ in tasks}
    again = {task: count for task, count in calls.items() if count > 1}
    attempts = {task: number for task, _, number in tasks}
    print(f"{len(tasks)} runs called the receiver, {len(again)} again after a lost attempt")
    assert all(count <= attempts[task] for task, count in again.items())


def check_what_get_shows(drill: OutageDrill, rows: Sequence[Row]) -> None:
    shown = drill.command("get", "runs", "--limit", "10000", "-o", "json")["items"]
    assert Counter((run["id"], run["status"]) for run in shown) == Counter(
        (row.id, row.status) for row in rows
    )
    assert all(run["dueAt"] and run["reason"] for run in shown if run["status"] == "missed")
