"""The gate (concurrency and throttle): properties of every sequence of runs."""

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
from support.examples import examples
from support.gates import HOUR, NOW, SECOND, run, spec


@dataclass
class Simulation:
    """Runs that arrive, queue, run and end; it applies the decisions as the adapters do."""

    spec: DefinitionSpec
    now: datetime = NOW
    number: int = 0
    running: dict[ids.RunId, str] = field(default_factory=dict)
    cancelling: set[ids.RunId] = field(default_factory=set)
    queue: dict[ids.RunId, str] = field(default_factory=dict)
    started: dict[str, list[datetime]] = field(default_factory=dict)
    let_in: dict[str, list[int]] = field(default_factory=dict)
    numbers: dict[ids.RunId, int] = field(default_factory=dict)
    decisions: Counter[ids.RunId] = field(default_factory=Counter)

    def arrive(self, key: str) -> None:
        self.number += 1
        new = run(str(self.number), concurrency_key=key, throttle_key=key)
        self.numbers[new.id] = self.number
        occupancy = Occupancy(
            tuple(name for name, other in self.running.items() if other == key),
            tuple(name for name, other in self.queue.items() if other == key),
            tuple(self.started.get(key, ())),
            key in self.queue.values(),
        )
        result = decide_gate(self.spec, occupancy, new, self.now)
        for replaced in result.replaces:
            if replaced in self.queue:
                del self.queue[replaced]
                self.decisions[replaced] += 1
            self.cancelling |= {replaced} & self.running.keys()
        match result.outcome:
            case "let_in":
                self.admit(new.id, key)
            case "queued":
                self.queue[new.id] = key
            case "skipped":
                self.decisions[new.id] += 1
                assert result.reason

    def admit(self, name: ids.RunId, key: str) -> None:
        self.running[name] = key
        self.decisions[name] += 1
        self.started.setdefault(key, []).append(self.now)
        self.let_in.setdefault(key, []).append(self.numbers[name])

    def sweep(self) -> None:
        queue = [QueuedRun(name, key, key, self.spec) for name, key in self.queue.items()]
        slots_taken: dict[str, list[ids.RunId]] = {}
        for name, key in self.running.items():
            slots_taken.setdefault(key, []).append(name)
        decided = decide_queue(queue, slots_taken, self.started, self.now, 3)
        for name, result in decided:
            key = self.queue.pop(name)
            if result.outcome == "let_in":
                self.admit(name, key)
            else:
                self.decisions[name] += 1

    def end(self, which: int) -> None:
        names = [*self.running]
        if names:
            name = names[which % len(names)]
            del self.running[name]
            self.cancelling.discard(name)

    def drain(self) -> None:
        for _ in range(200):
            self.now += HOUR
            self.running.clear()
            self.sweep()
            self.check()

    def check(self) -> None:
        gate, throttle = self.spec.concurrency, self.spec.throttle
        counts = Counter(self.running.values())
        if gate.policy is not OverlapPolicy.ALLOW:
            assert all(count <= gate.limit for count in counts.values())
        for key, moments in self.started.items():
            assert moments == sorted(moments)
            if throttle is not None:
                for first, later in zip(moments, moments[throttle.limit :], strict=False):
                    assert later - first >= throttle.per, key
        for numbers in self.let_in.values():
            assert numbers == sorted(numbers)
        assert all(count <= 1 for count in self.decisions.values())


THROTTLES = st.none() | st.fixed_dictionaries(
    {
        "limit": st.integers(1, 3),
        "per": st.sampled_from(["1s", "5s", "1m"]),
        "excess": st.sampled_from([excess.value for excess in Excess]),
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


@settings(deadline=None, max_examples=examples(300))
@given(
    st.sampled_from([policy.value for policy in OverlapPolicy]),
    st.integers(1, 3),
    THROTTLES,
    EVENTS,
)
def test_limits_and_order_hold_and_each_run_is_decided_once(policy, limit, throttle, events):
    simulation = Simulation(spec(policy, throttle, limit=limit))
    for event, value in events:
        match event:
            case "arrive":
                simulation.arrive(value)
            case "end":
                simulation.end(value)
            case "sweep":
                simulation.sweep()
            case "wait":
                simulation.now += value * SECOND
        simulation.check()
    simulation.drain()
    simulation.check()
    assert not simulation.queue
    assert simulation.decisions.keys() == simulation.numbers.keys()


@settings(deadline=None, max_examples=examples(100))
@given(st.integers(1, 3), st.lists(st.integers(-1, 5), max_size=40))
def test_replace_leaves_the_newest_runs_in_any_order_of_events(limit, events):
    simulation = Simulation(spec("replace", limit=limit))
    for value in events:
        if value < 0:
            simulation.sweep()
        elif value < len(simulation.cancelling):
            cancelled = sorted(simulation.cancelling)[value]
            del simulation.running[cancelled]
            simulation.cancelling.discard(cancelled)
        else:
            simulation.arrive("x")
    for name in simulation.cancelling:
        del simulation.running[name]
    simulation.sweep()
    left = sorted(simulation.numbers[name] for name in simulation.running)
    assert left == [*range(1, simulation.number + 1)][-limit:]
