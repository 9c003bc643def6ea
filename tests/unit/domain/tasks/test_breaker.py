"""Breakers: whatever happens, only probes pass while it is half-open, and it closes again."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activityctl.domain.tasks.breaker import (
    Breaker,
    BreakerPolicy,
    BreakerStatus,
    RecentAttempts,
    after_fault,
    after_success,
    is_fault,
    pass_through,
    without_probe,
)
from activityctl.domain.tasks.failure import Failure

START = datetime(2026, 5, 1, tzinfo=UTC)
LEASE = timedelta(seconds=40)
TASKS = [f"task-{number}" for number in range(6)]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "succeed", "fault", "lose"]),
        st.sampled_from(TASKS),
        st.integers(0, 60),
    ),
    max_size=80,
)
POLICIES = st.builds(
    BreakerPolicy,
    failures=st.integers(1, 4),
    open_for=st.sampled_from([timedelta(seconds=5), timedelta(seconds=30)]),
    probes=st.integers(1, 3),
)


class Model:
    """A breaker with the attempts behind it."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self.policy = policy
        self.breaker = Breaker("host", BreakerStatus.CLOSED, START)
        self.in_a_row = 0
        self.at_work: set[str] = set()

    def step(self, action: str, task: str, now: datetime) -> None:
        before = self.breaker
        if action == "ask":
            self._ask(task, now)
        elif task in self.at_work:
            self.at_work.discard(task)
            self._end(action, task, now)
        if self.breaker.status is not before.status:
            self.in_a_row = 0

    def _ask(self, task: str, now: datetime) -> None:
        passage = pass_through(self.breaker, self.policy, task, now, lease=LEASE, chance=0.5)
        if passage.look_again_at is None:
            self.at_work.add(task)
        else:
            assert passage.look_again_at > now
            assert self.breaker.status is not BreakerStatus.CLOSED
        self.breaker = passage.breaker

    def _end(self, action: str, task: str, now: datetime) -> None:
        if action == "lose":
            self.breaker = without_probe(self.breaker, task)
        elif action == "fault":
            self.in_a_row += 1
            recent = RecentAttempts(self.in_a_row, self.in_a_row, self.in_a_row)
            self.breaker = after_fault(self.breaker, self.policy, task, recent, now)
        else:
            self.in_a_row = 0
            self.breaker = after_success(self.breaker, self.policy, task, now)


@given(POLICIES, STEPS)
def test_only_probes_pass_until_all_of_them_have_succeeded(
    policy: BreakerPolicy, steps: list[tuple[str, str, int]]
):
    model, now = Model(policy), START
    for action, task, seconds in steps:
        now += timedelta(seconds=seconds)
        before = model.breaker
        model.step(action, task, now)
        breaker = model.breaker
        assert len([probe for probe in breaker.probes if probe.until > now]) <= policy.probes
        assert bool(breaker.open_until) == (breaker.status is BreakerStatus.OPEN)
        if before.status is BreakerStatus.OPEN and breaker.status is not BreakerStatus.OPEN:
            assert before.open_until is not None
            assert now >= before.open_until
        if breaker.status is BreakerStatus.CLOSED and before.status is not BreakerStatus.CLOSED:
            assert before.status is BreakerStatus.HALF_OPEN
    breaker = model.breaker
    for _ in range(policy.probes):  # it never stays shut for ever
        now += timedelta(hours=1)
        breaker = pass_through(breaker, policy, "new", now, lease=LEASE, chance=0).breaker
        breaker = after_success(breaker, policy, "new", now)
    assert breaker.status is BreakerStatus.CLOSED


@pytest.mark.parametrize(
    ("code", "status", "counts"),
    [
        ("unexpected_status", 500, True),
        ("unexpected_status", 503, True),
        ("unexpected_status", 429, True),
        ("unexpected_status", 404, False),
        ("unexpected_status", 401, False),
        ("timeout", None, True),
        ("unreachable", None, True),
        ("bad_response", None, True),
        ("bad_output", None, False),
        ("exit_code", None, True),
    ],
)
def test_only_what_the_destination_is_to_blame_for_counts(
    code: str, status: int | None, *, counts: bool
):
    assert is_fault(Failure("no", code, 1, may_retry=True, status=status)) is counts
