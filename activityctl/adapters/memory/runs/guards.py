"""Breakers and limits in memory."""

from dataclasses import replace
from datetime import datetime, timedelta

from activityctl.adapters.memory.runs.notices import write_opened
from activityctl.adapters.memory.runs.runs import MemoryRunStore
from activityctl.adapters.memory.state import HoldRow, MemoryState
from activityctl.domain.runs.run import RunStatus, TaskInstance
from activityctl.domain.tasks import breaker as rules
from activityctl.domain.tasks.attempt import Attempt, AttemptOutcome
from activityctl.domain.tasks.breaker import (
    Breaker,
    BreakerStatus,
    RecentAttempts,
    WhileOpen,
)
from activityctl.domain.tasks.guard import Guard
from activityctl.domain.tasks.limit import WAITER_LEASE, LimitState, permit
from activityctl.errors import NotFoundError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import (
    BegunAttempt,
    BegunLookup,
    BreakerChange,
    GuardedLookup,
    Hold,
    LookupEnd,
)


@frozen_dataclass
class _Asks:
    """A task or a lookup that wants to begin an attempt."""

    id: str
    name: str
    guard: Guard


class MemoryGuards:
    """Implements the Guards port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state
        self._runs = MemoryRunStore(state)
        self._places = 0
        self._faults: dict[tuple[str, int], bool] = {}

    async def begin(
        self,
        task_id: str,
        now: datetime,
        worker: str,
        *,
        is_limited: bool,  # noqa: ARG002  # the guard says it too
        lease: timedelta,
        chance: float,
    ) -> BegunAttempt | Hold | None:
        """Begin an attempt, if breaker and limit let it pass; None if it may not begin at all."""
        row = self._state.tasks.get(task_id)
        if row is None or row.task.has_ended:
            return None
        if self._state.runs[row.task.run_id].run.status is not RunStatus.RUNNING:
            return None
        asks = _Asks(task_id, row.task.name, row.task.guard or Guard())
        is_probe = self._pass(asks, lease, chance)
        if isinstance(is_probe, Hold):
            return is_probe
        begun = await self._runs.begin_attempt(task_id, now, worker)
        return None if begun is None else replace(begun, is_probe=is_probe)

    async def begin_lookup(
        self, lookup: GuardedLookup, now: datetime, worker: str, *, lease: timedelta, chance: float
    ) -> BegunLookup | Hold:
        """Begin an attempt of a lookup, if breaker and limit let it pass."""
        self._state.lookups[lookup.id] = lookup.guard
        is_probe = self._pass(_Asks(lookup.id, lookup.name, lookup.guard), lease, chance)
        if isinstance(is_probe, Hold):
            return is_probe
        number = 1 + sum(key == lookup.id for key, _ in self._state.attempts)
        begun = Attempt(lookup.id, number, worker, now)
        self._state.attempts[lookup.id, number] = begun
        return BegunLookup(number, is_probe)

    async def settle_lookup(
        self, lookup: GuardedLookup, end: LookupEnd, now: datetime
    ) -> BreakerChange | None:
        """Record how an attempt of a lookup ended, and tell the breaker."""
        key = (lookup.id, end.number)
        self._state.attempts[key] = replace(
            self._state.attempts[key],
            outcome=end.outcome,
            ended_at=now,
            error=end.error,
            code=end.code,
        )
        if end.error is not None and end.is_fault is not None:
            self._faults[key] = end.is_fault
        if not (end.is_fault or end.is_probe):
            return None
        return self._told((lookup.run_id, lookup.id), lookup.guard, is_fault=end.is_fault)

    def _pass(self, asks: "_Asks", lease: timedelta, chance: float) -> bool | Hold:
        """Let an attempt pass, and return whether it probes; else what holds it up."""
        task_id, guard, at, is_probe = asks.id, asks.guard, self._state.clock(), False
        passed: Breaker | None = None
        if guard.breaker is not None and guard.breaker_name in self._state.breakers:
            before = self._live(self._state.breakers[guard.breaker_name])
            passage = rules.pass_through(
                before, guard.breaker, task_id, at, lease=lease, chance=chance
            )
            if (look_at := passage.look_again_at) is not None:
                fails = guard.breaker.while_open is WhileOpen.FAIL
                is_new = fails or self._hold(task_id, look_at, breaker=before.name)
                seconds = (look_at - at).total_seconds()
                return Hold(
                    asks.name, before.name, True, seconds, look_at, is_new, fails, before.reason
                )
            passed, is_probe = passage.breaker, before.status is not BreakerStatus.CLOSED
        if guard.limit is not None and (hold := self._limit(asks, guard, at)) is not None:
            return hold
        if passed is not None:
            self._state.breakers[passed.name] = passed
        self._state.holds.pop(task_id, None)
        return is_probe

    def _guard_of(self, task_id: str) -> Guard | None:
        if task_id in self._state.lookups:
            return self._state.lookups[task_id]
        return self._state.tasks[task_id].task.guard

    def _limit(self, asks: "_Asks", guard: Guard, at: datetime) -> Hold | None:
        assert guard.limit is not None  # noqa: S101  # the caller has looked
        task_id = asks.id
        name, held = guard.limit.name, self._state.holds.get(task_id)
        place = self._places + 1 if held is None else held.place
        waiting = (
            row
            for key, row in self._state.holds.items()
            if key != task_id and row.limit == name and row.look_at > at - WAITER_LEASE
        )
        state = LimitState(
            self._state.limits.get(name),
            sum(self._is_at_work(attempt, name, task_id) for attempt in self._attempts()),
            sum(row.place < place for row in waiting),
            None if held is None else held.slot,
        )
        found = permit(guard.limit, state, at)
        self._state.limits[name] = found.used_until
        if (look_at := found.look_again_at) is None:
            return None
        is_new = self._hold(task_id, look_at, limit=name, slot=found.slot)
        return Hold(
            asks.name,
            name,
            False,
            max((look_at - at).total_seconds(), 0.0),
            look_at,
            is_new,
        )

    def _attempts(self) -> list[Attempt]:
        return list(self._state.attempts.values())

    def _is_at_work(self, attempt: Attempt, limit: str, but: str) -> bool:
        if attempt.ended_at is not None or attempt.task_id == but:
            return False
        guard = self._guard_of(attempt.task_id)
        return guard is not None and guard.limit is not None and guard.limit.name == limit

    def _hold(
        self,
        task_id: str,
        look_at: datetime,
        *,
        breaker: str | None = None,
        limit: str | None = None,
        slot: datetime | None = None,
    ) -> bool:
        held = self._state.holds.get(task_id)
        if held is None:
            self._places += 1
            now = self._state.clock()
            self._state.holds[task_id] = HoldRow(self._places, limit, look_at, now, slot, breaker)
            return True
        if breaker is not None:
            limit, slot = held.limit, held.slot
        self._state.holds[task_id] = replace(
            held, limit=limit, look_at=look_at, slot=slot, breaker=breaker
        )
        return False

    def _live(self, breaker: Breaker) -> Breaker:
        for probe in breaker.probes:
            if self._has_ended(probe.task_id):
                breaker = rules.without_probe(breaker, probe.task_id)
        return breaker

    def _has_ended(self, task_id: str) -> bool:
        if task_id not in self._state.lookups:
            return self._state.tasks[task_id].task.has_ended
        mine = [each for key, each in self._state.attempts.items() if key[0] == task_id]
        return all(each.ended_at is not None for each in mine)

    async def settle(self, task: TaskInstance, *, is_fault: bool | None) -> BreakerChange | None:
        """Tell the breaker how the attempt of the task ended; return the change of its status."""
        guard = task.guard
        if guard is None or guard.breaker is None or guard.breaker_name is None:
            return None
        attempt = self._state.attempts.get((task.id, task.attempts))
        if (
            is_fault is not None
            and attempt is not None
            and attempt.outcome is AttemptOutcome.FAILED
        ):
            self._faults[task.id, task.attempts] = is_fault
        return self._told((task.run_id, task.id), guard, is_fault=is_fault)

    def _told(
        self, at: tuple[str, str], guard: Guard, *, is_fault: bool | None
    ) -> BreakerChange | None:
        run_id, task_id = at
        name, now = guard.breaker_name, self._state.clock()
        if guard.breaker is None or name is None:
            return None
        before = self._state.breakers.get(name)
        if before is None:
            if not is_fault:
                return None
            before = Breaker(name, BreakerStatus.CLOSED, now - timedelta(days=1))
        if is_fault is None:
            after = rules.without_probe(before, task_id)
        elif is_fault:
            recent = self._recent(before, guard.breaker.within, now)
            after = rules.after_fault(before, guard.breaker, task_id, recent, now)
        else:
            after = rules.after_success(before, guard.breaker, task_id, now)
        self._state.breakers[name] = after
        change = BreakerChange(before, after)
        write_opened(self._state, run_id, change)
        return change if after.status is not before.status else None

    def _recent(self, breaker: Breaker, within: timedelta, now: datetime) -> RecentAttempts:
        ended = []
        for key, attempt in self._state.attempts.items():
            guard = self._guard_of(attempt.task_id)
            is_known = attempt.outcome is AttemptOutcome.SUCCEEDED or key in self._faults
            if guard is None or guard.breaker_name != breaker.name or not is_known:
                continue
            if attempt.ended_at is not None and attempt.ended_at > breaker.changed_at:
                ended.append((attempt.ended_at, self._faults.get(key, False)))
        good = [at for at, is_fault in ended if not is_fault]
        last = max(good, default=None)
        recent = [is_fault for at, is_fault in ended if at > now - within]
        in_a_row = sum(is_fault and (last is None or at > last) for at, is_fault in ended)
        return RecentAttempts(in_a_row, len(recent), sum(recent))

    async def forget(self, task_id: str) -> None:
        """Give up the place of a task that waits no longer."""
        self._state.holds.pop(task_id, None)

    async def turn_breaker(self, name: str, *, is_open: bool, reason: str) -> BreakerChange:
        """Open or close a breaker by hand; raise NotFoundError for an unknown one to close."""
        now = self._state.clock()
        before = self._state.breakers.get(name)
        if before is None:
            if not is_open:
                raise NotFoundError("breaker", name, hint="activityctl get breakers")
            before = Breaker(name, BreakerStatus.CLOSED, now - timedelta(days=1))
        after = (
            rules.opened(before, now, reason, None)
            if is_open
            else rules.closed(before, now, reason)
        )
        self._state.breakers[name] = after
        return BreakerChange(before, after)
