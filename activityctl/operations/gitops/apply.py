"""Apply: record the wanted state in one transaction, then wait until the schedules follow."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from activityctl.domain.gitops.fingerprint import fingerprint
from activityctl.domain.gitops.history import UNKNOWN_ORIGIN, Origin
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.gitops.plan import Plan, Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.gitops.set_checks import check_against
from activityctl.domain.values.sync_errors import is_refusal
from activityctl.errors import ConflictError
from activityctl.ports import Catalog, ScheduleRegister, Workers

_POLL: Final = 0.05
_LONGEST_POLL: Final = 1.0
_FEW: Final = 50
"""Of more schedules than these, looking is dearer and their end is further away."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What apply did; `pending` schedules wait for a worker."""

    plan: Plan
    pending: int
    has_worker: bool
    refused: tuple[str, ...] = ()
    """What Temporal refused, a schedule each, as last tried."""
    unanswered: tuple[str, ...] = ()
    """What Temporal did not answer in time, likewise; the worker tries it again."""

    @property
    def errors(self) -> tuple[str, ...]:
        """Why Temporal could not be made to hold schedules, as last tried."""
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
    insists: bool = False,
) -> Applied:
    """Make Postgres agree with the manifests, all or nothing; a repeat changes nothing.

    `wanted` adds an apply set and pruning. Waits up to `timeout_seconds` for a worker to
    bring Temporal's schedules to agree, and unless it `insists` not at all when no worker is
    alive: the wish is recorded and will be carried out. `on_pending` hears how many still wait,
    `on_write` is told before, as the change begins to be recorded.
    Raises InvalidManifestsError or ConflictError before anything is changed.
    """
    async with catalog.changing():
        present = await catalog.present()
        check_against(manifests, present, wanted)
        plan = plan_changes(wanted or manifests.wanted, present)
        on_write()
        await catalog.write(plan, clock(), origin)
    return await wait_for_schedules(
        plan,
        register,
        workers,
        timeout_seconds=timeout_seconds,
        on_pending=on_pending,
        insists=insists,
    )


async def apply_saved(
    wanted: Wanted,
    made_against: str,
    catalog: Catalog,
    now: datetime,
    origin: Origin,
    *,
    on_write: Callable[[], None] = lambda: None,
) -> Plan:
    """Carry out a saved plan; ConflictError when the world has moved since it was made.

    `on_write` is told as the change begins to be recorded.
    """
    async with catalog.changing():
        present = await catalog.present()
        plan = plan_changes(wanted, present)
        if fingerprint(plan, present) != made_against:
            raise ConflictError(
                "the world has moved since this plan was made; nothing was changed",
                hint="make and review a new one: activityctl plan -f ... --out FILE",
            )
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
    insists: bool = False,
) -> Applied:
    """Wait until no schedule that the plan touches differs from what is wanted, or time is up.

    A refusal ends it, and unless it `insists` the lack of a worker. `on_pending` is told how
    many schedules still differ, each time that is looked at.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_seconds
    while True:
        unsettled = await register.unsynced_errors(plan.touched_subscriptions)
        if on_pending is not None:
            on_pending(len(unsettled))
        alive = bool(await workers.alive())
        refused = _error_texts(unsettled, refusals=True)
        is_hopeless = bool(refused) or not (alive or insists)
        if not unsettled or is_hopeless or loop.time() >= deadline:
            unanswered = _error_texts(unsettled, refusals=False)
            return Applied(plan, len(unsettled), alive, refused, unanswered)
        await asyncio.sleep(min(_POLL * (1 + len(unsettled) / _FEW), _LONGEST_POLL))


def _error_texts(unsettled: Sequence[tuple[str, str | None]], *, refusals: bool) -> tuple[str, ...]:
    return tuple(
        f"{key}: {error}"
        for key, error in unsettled
        if error is not None and is_refusal(error) is refusals
    )
