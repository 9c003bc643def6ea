"""Apply manifests: store the wanted state in one transaction, then wait for the schedules."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from activityctl.domain.gitops.fingerprint import fingerprint
from activityctl.domain.gitops.history import UNKNOWN_ORIGIN, Origin
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.gitops.plan import Plan, Present, Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.gitops.reach import EVERYTHING, Reach, plan_within
from activityctl.domain.gitops.renames import with_renames
from activityctl.domain.values.sync_errors import is_refusal
from activityctl.errors import OutdatedPlanError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.gitops.former_sets import require_former_sets
from activityctl.ports import Catalog, ScheduleRegister, Workers

_POLL: Final = 0.05
_LONGEST_POLL: Final = 1.0
_FEW: Final = 50
"""For more schedules than this we poll less often: a poll costs more and they take longer."""


@frozen_dataclass
class Applied:
    """What apply did; `pending` schedules are not yet updated in Temporal."""

    plan: Plan
    pending: int
    has_worker: bool
    refused: tuple[str, ...] = ()
    """One text for each schedule that Temporal refused at the last try."""
    unanswered: tuple[str, ...] = ()
    """One text for each schedule for which Temporal did not answer in time; it is tried again."""

    @property
    def errors(self) -> tuple[str, ...]:
        """One text for each schedule that failed at the last try, refusals first."""
        return self.refused + self.unanswered


async def apply(  # noqa: PLR0913  # ports, and how to wait for them
    manifests: ManifestSet,
    catalog: Catalog,
    register: ScheduleRegister,
    workers: Workers,
    clock: Callable[[], datetime],
    *,
    timeout_seconds: float,
    wanted: Wanted | None = None,
    origin: Origin = UNKNOWN_ORIGIN,
    on_write: Callable[[], None] = lambda: None,
    on_pending: Callable[[int], None] | None = None,
    wait_without_worker: bool = False,
) -> Applied:
    """Make Postgres agree with the manifests, all or nothing; a repeat changes nothing.

    `wanted` adds an apply set and pruning. Waits up to `timeout_seconds` until a worker has
    updated Temporal's schedules. When no worker is alive it returns at once, unless
    `wait_without_worker`: the change is stored, and the next worker carries it out.
    `on_write` is called just before the change is stored. `on_pending` is called at each poll
    with the number of schedules that are not yet updated.
    Raises InvalidManifestsError or ConflictError before anything is changed.
    """
    plan = await store(
        manifests, wanted or manifests.wanted, catalog, clock, origin, on_write=on_write
    )
    return await wait_for_schedules(
        plan,
        register,
        workers,
        timeout_seconds=timeout_seconds,
        on_pending=on_pending,
        wait_without_worker=wait_without_worker,
    )


async def store(
    manifests: ManifestSet,
    wanted: Wanted,
    catalog: Catalog,
    clock: Callable[[], datetime],
    origin: Origin,
    *,
    made_against: str | None = None,
    reach: Reach = EVERYTHING,
    on_write: Callable[[], None] = lambda: None,
) -> Plan:
    """Store what the manifests want, all or nothing, and return the plan that was carried out.

    `made_against` is the fingerprint of a reviewed plan: OutdatedPlanError if it does not fit any
    more. Raises what `plan_within` raises before anything is changed. The returned plan is without
    schedules that may not be seen.
    """
    async with catalog.changing():
        present = with_renames(wanted, await catalog.present())
        # In a thread: for thousands of objects it takes seconds, and a server goes on meanwhile.
        plan = await asyncio.to_thread(plan_within, reach, manifests, wanted, present)
        await require_former_sets(reach, plan, present, catalog)
        _require_fresh(plan, present, made_against)
        on_write()
        await catalog.write(plan, clock(), origin)
    return reach.visible_plan(plan, present)


async def apply_saved(
    wanted: Wanted,
    made_against: str,
    catalog: Catalog,
    now: datetime,
    origin: Origin,
    *,
    on_write: Callable[[], None] = lambda: None,
) -> Plan:
    """Carry out a saved plan; OutdatedPlanError when live objects have changed since it was made.

    `on_write` is called just before the change is stored.
    """
    async with catalog.changing():
        present = with_renames(wanted, await catalog.present())
        plan = plan_changes(wanted, present)
        _require_fresh(plan, present, made_against)
        on_write()
        await catalog.write(plan, now, origin)
    return plan


async def wait_for_schedules(
    plan: Plan,
    register: ScheduleRegister,
    workers: Workers,
    *,
    timeout_seconds: float,
    on_pending: Callable[[int], None] | None = None,
    wait_without_worker: bool = False,
) -> Applied:
    """Wait until every schedule that the plan touches is synced, or time is up.

    Stops early when Temporal refuses a schedule, and when no worker is alive, unless
    `wait_without_worker`. `on_pending` is called at each poll with the number of schedules
    that are not yet synced.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_seconds
    while True:
        unsynced = await register.unsynced_errors(plan.touched_subscriptions)
        if on_pending is not None:
            on_pending(len(unsynced))
        alive = bool(await workers.alive())
        refused = _error_texts(unsynced, refusals=True)
        must_stop = bool(refused) or not (alive or wait_without_worker)
        if not unsynced or must_stop or loop.time() >= deadline:
            unanswered = _error_texts(unsynced, refusals=False)
            return Applied(plan, len(unsynced), alive, refused, unanswered)
        await asyncio.sleep(min(_POLL * (1 + len(unsynced) / _FEW), _LONGEST_POLL))


def _require_fresh(plan: Plan, present: Present, made_against: str | None) -> None:
    if made_against is not None and fingerprint(plan, present) != made_against:
        raise OutdatedPlanError(
            "the plan is out of date: live objects have changed since it was made; "
            "nothing was changed",
            hint="make and review a new one: activityctl plan -f ... --out FILE",
        )


def _error_texts(unsynced: Sequence[tuple[str, str | None]], *, refusals: bool) -> tuple[str, ...]:
    return tuple(
        f"{key}: {error}"
        for key, error in unsynced
        if error is not None and is_refusal(error) is refusals
    )
