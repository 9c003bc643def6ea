"""AcceptedFiring: a firing that has no run yet, and how it is shown as a queued run."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from activityctl.domain.runs.admission import AdmissionInput, new_run
from activityctl.domain.runs.run import Decision, Run, RunEnd, RunStatus
from activityctl.domain.runs.run_change import RunChange, run_change
from activityctl.domain.timing.firing import FiringRef, FiringRequest
from activityctl.domain.values import ids
from activityctl.domain.values.json_form import format_timestamp
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.selection import Selection
from activityctl.frozen_dataclass import frozen_dataclass

ACCEPTED: Final = "accepted; "
"""How the reason of every firing begins that is no run yet."""
WAITS_FOR_WORKER: Final = f"{ACCEPTED}waits for a worker"
_CANCELLED: Final = "cancelled on request, before it started"


@frozen_dataclass
class AcceptedFiring:
    """A firing without a run, with what its run will be made of."""

    firing: FiringRequest
    subscription: str
    definition: str
    revision_id: ids.RevisionId
    params: Mapping[str, JsonValue]
    created_at: datetime
    fires_at: datetime | None
    """None while a backfill holds it."""
    priority: int = 0
    is_dispatched: bool = False
    """Whether the dispatcher has started it, so that only its worker is missing."""
    is_ordered: bool = False
    """Whether other firings with the same key start before it."""
    not_before: datetime | None = None
    error: str | None = None
    """Why it could not be started so far."""


def accepted_run(accepted: AcceptedFiring, now: datetime) -> Run:
    """Return the firing as the queued run that it becomes, with the reason why it waits."""
    firing = accepted.firing
    return Run(
        id=firing.ref.run_id,
        subscription_id=firing.subscription_id,
        subscription=accepted.subscription,
        definition=accepted.definition,
        revision_id=accepted.revision_id,
        trigger=firing.trigger,
        firing_key=firing.firing_key,
        due_at=firing.due_at,
        status=RunStatus.QUEUED,
        created_at=accepted.created_at,
        params=accepted.params,
        payload=firing.payload,
        reason=_reason(accepted, now),
        priority=accepted.priority,
        replay_of=ids.replayed_run(firing.firing_key),
    )


def _reason(accepted: AcceptedFiring, now: datetime) -> str:
    if accepted.is_dispatched:
        return WAITS_FOR_WORKER
    if accepted.fires_at is None:
        return f"{ACCEPTED}waits for its turn in a backfill"
    if accepted.error is not None and accepted.not_before is not None:
        again = format_timestamp(accepted.not_before)
        return f"{ACCEPTED}could not be started, next try at {again}: {accepted.error}"
    if accepted.fires_at > now:
        return f"{ACCEPTED}waits until {format_timestamp(accepted.fires_at)}"
    if accepted.is_ordered:
        return f"{WAITS_FOR_WORKER}, or for an earlier event with the same key"
    return WAITS_FOR_WORKER


def is_listed(selection: Selection) -> bool:
    """Return whether a list of runs with these conditions has accepted firings too."""
    if selection.after:  # they are on the first page only
        return False
    return not selection.statuses or RunStatus.QUEUED in selection.statuses


def lists_held(selection: Selection) -> bool:
    """Return whether the list also has what a backfill holds: only if queued runs are asked for.

    A long backfill would otherwise hide all other runs.
    """
    return RunStatus.QUEUED in selection.statuses


def with_accepted(runs: Iterable[Run], accepted: Iterable[Run], selection: Selection) -> list[Run]:
    """Return both as one list, newest first; a firing that has become a run counts as that."""
    found = {run.id: run for run in (*accepted, *runs)}
    by_id = sorted(found.values(), key=lambda run: run.id)
    ordered = sorted(by_id, key=lambda run: run.created_at, reverse=True)
    return ordered[: selection.limit]


def cancelled_firing(
    firing: FiringRef, facts: AdmissionInput | None, now: datetime
) -> RunChange | None:
    """Return the cancelled run of a firing that has none; None if it has one, or is unknown."""
    if facts is None or facts.record is None or facts.record.run_status is not None:
        return None
    decision = Decision(end=RunEnd(RunStatus.CANCELLED, _CANCELLED))
    return run_change(new_run(firing, facts, now), decision, now)
