"""Overlap and throttle: what holds for every sequence of runs."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.run_limits import Excess, OverlapPolicy
from activityctl.domain.runs.concurrency import (
    Occupancy,
    QueuedRun,
    decide_gate,
    decide_queue,
)
from activityctl.domain.values import ids
from support.gates import HOUR, NOW, SECOND, run, spec


@dataclass
class House:
    """Runs that come, queue, work and go, as the adapters carry out what is decided."""

    spec: DefinitionSpec
    now: datetime = NOW
    number: int = 0
    at_work: dict[ids.RunId, str] = field(default_factory=dict)
    cancelling: set[ids.RunId] = field(default_factory=set)
    queue: dict[ids.RunId, str] = field(default_factory=dict)
    started: dict[str, list[datetime]] = field(default_factory=dict)
    let_in: dict[str, list[int]] = field(default_factory=dict)
    numbers: dict[ids.RunId, int] = field(default_factory=dict)
    fates: Counter[ids.RunId] = field(default_factory=Counter)

    def arrive(self, key: str) -> None:
        self.number += 1
        one = run(str(self.number), concurrency_key=key, throttle_key=key)
        self.numbers[one.id] = self.number
        occupancy = Occupancy(
            tuple(name for name, other in self.at_work.items() if other == key),
            tuple(name for name, other in self.queue.items() if other == key),
            tuple(self.started.get(key, ())),
            key in self.queue.values(),
        )
        entry = decide_gate(self.spec, occupancy, one, self.now)
        for gone in entry.replaces:
            if gone in self.queue:
                del self.queue[gone]
                self.fates[gone] += 1
            self.cancelling |= {gone} & self.at_work.keys()
        match entry.outcome:
            case "let_in":
                self.admit(one.id, key)
            case "queued":
                self.queue[one.id] = key
            case "skipped":
                self.fates[one.id] += 1
                assert entry.reason

    def admit(self, name: ids.RunId, key: str) -> None:
        self.at_work[name] = key
        self.fates[name] += 1
        self.started.setdefault(key, []).append(self.now)
        self.let_in.setdefault(key, []).append(self.numbers[name])

    def sweep(self) -> None:
        queue = [QueuedRun(name, key, key, self.spec) for name, key in self.queue.items()]
        places: dict[str, list[ids.RunId]] = {}
        for name, key in self.at_work.items():
            places.setdefault(key, []).append(name)
        for name, entry in decide_queue(queue, places, self.started, self.now, 3):
            key = self.queue.pop(name)
            if entry.outcome == "let_in":
                self.admit(name, key)
            else:
                self.fates[name] += 1

    def end(self, which: int) -> None:
        names = [*self.at_work]
        if names:
            name = names[which % len(names)]
            del self.at_work[name]
            self.cancelling.discard(name)

    def drain(self) -> None:
        for _ in range(200):
            self.now += HOUR
            self.at_work.clear()
            self.sweep()
            self.check()

    def check(self) -> None:
        gate, throttle = self.spec.concurrency, self.spec.throttle
        counts = Counter(self.at_work.values())
        if gate.policy is not OverlapPolicy.ALLOW:
            assert all(count <= gate.limit for count in counts.values())
        for key, moments in self.started.items():
            assert moments == sorted(moments)
            if throttle is not None:
                for first, later in zip(moments, moments[throttle.limit :], strict=False):
                    assert later - first >= throttle.per, key
        for numbers in self.let_in.values():
            assert numbers == sorted(numbers)
        assert all(count <= 1 for count in self.fates.values())


THROTTLES = st.none() | st.fixed_dictionaries(
    {
        "limit": st.integers(1, 3),
        "per": st.sampled_from(["1s", "5s", "1m"]),
        "excess": st.sampled_from([one.value for one in Excess]),
    }
)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("arrive"), st.sampled_from("xy")),
        st.tuples(st.just("end"), st.integers(0, 9)),
        st.tuples(st.just("sweep"), st.none()),
        st.tuples(st.just("wait"), st.sampled_from([1, 4, 30])),
    ),
    min_size=10,
    max_size=60,
)


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from([one.value for one in OverlapPolicy]),
    st.integers(1, 3),
    THROTTLES,
    EVENTS,
)
def test_never_more_than_may_in_order_and_each_run_has_one_fate(policy, limit, throttle, events):
    house = House(spec(policy, throttle, limit=limit))
    for event, value in events:
        match event:
            case "arrive":
                house.arrive(value)
            case "end":
                house.end(value)
            case "sweep":
                house.sweep()
            case "wait":
                house.now += value * SECOND
        house.check()
    house.drain()
    house.check()
    assert not house.queue
    assert house.fates.keys() == house.numbers.keys()


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 3), st.lists(st.integers(-1, 5), max_size=40))
def test_replace_ends_with_the_newest_runs_whatever_the_timing(limit, events):
    house = House(spec("replace", limit=limit))
    for value in events:
        if value < 0:
            house.sweep()
        elif value < len(house.cancelling):
            gone = sorted(house.cancelling)[value]
            del house.at_work[gone]
            house.cancelling.discard(gone)
        else:
            house.arrive("x")
    for name in house.cancelling:
        del house.at_work[name]
    house.sweep()
    left = sorted(house.numbers[name] for name in house.at_work)
    assert left == [*range(1, house.number + 1)][-limit:]
