"""Apply: record the wanted state in one transaction, then wait until the schedules follow."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from activityctl.domain.fingerprint import fingerprint
from activityctl.domain.history import UNKNOWN_ORIGIN, Origin
from activityctl.domain.manifest import ManifestSet
from activityctl.domain.plan import Plan, Wanted
from activityctl.domain.planning import plan_changes
from activityctl.errors import ConflictError
from activityctl.operations.load import check_against
from activityctl.ports import Catalog, ScheduleRegister, Workers

_POLL: Final = 0.05
_LONGEST_POLL: Final = 0.5
_FEW: Final = 50
"""Of more schedules than these, looking is dearer and their end is further away."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What apply did; `pending` schedules wait for a worker."""

    plan: Plan
    pending: int
    has_worker: bool
    errors: tuple[str, ...] = ()
    """Why Temporal could not be made to hold schedules, as last tried."""


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
    on_pending: Callable[[int], None] | None = None,
) -> Applied:
    """Make Postgres agree with the manifests, all or nothing; a repeat changes nothing.

    `wanted` adds an apply set and pruning. Waits up to `timeout_seconds` for a worker to
    bring Temporal's schedules to agree, and not at all when no worker is alive: the wish is
    recorded and will be carried out. `on_pending` hears how many schedules still wait.
    Raises InvalidManifestsError or ConflictError before anything is changed.
    """
    async with catalog.changing():
        present = await catalog.present()
        check_against(manifests, present, wanted)
        plan = plan_changes(wanted or manifests.wanted, present)
        await catalog.write(plan, clock(), origin)
    return await settle(
        plan, register, workers, timeout_seconds=timeout_seconds, on_pending=on_pending
    )


async def apply_saved(
    wanted: Wanted, made_against: str, catalog: Catalog, now: datetime, origin: Origin
) -> Plan:
    """Carry out a saved plan; ConflictError when the world has moved since it was made."""
    async with catalog.changing():
        present = await catalog.present()
        plan = plan_changes(wanted, present)
        if fingerprint(plan, present) != made_against:
            raise ConflictError(
                "the world has moved since this plan was made; nothing was changed",
                hint="make and review a new one: activityctl plan -f ... --out FILE",
            )
        await catalog.write(plan, now, origin)
    return plan


async def settle(
    plan: Plan,
    register: ScheduleRegister,
    workers: Workers,
    *,
    timeout_seconds: float,
    on_pending: Callable[[int], None] | None = None,
) -> Applied:
    """Wait until no schedule that the plan touches differs from what is wanted, or time is up.

    `on_pending` is told how many still do, each time that is looked at.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_seconds
    while True:
        unsettled = await register.unsettled(plan.touched_subscriptions)
        if on_pending is not None:
            on_pending(len(unsettled))
        alive = bool(await workers.alive())
        errors = tuple(f"{key}: {error}" for key, error in unsettled if error is not None)
        if not unsettled or not alive or errors or loop.time() >= deadline:
            return Applied(plan, len(unsettled), alive, errors)
        await asyncio.sleep(min(_POLL * (1 + len(unsettled) / _FEW), _LONGEST_POLL))
