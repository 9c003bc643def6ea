"""Firings without a run in memory, read as the queued runs that they become."""

from activityctl.adapters.memory.state import FiringRow, MemoryState
from activityctl.domain.runs.accepted import (
    AcceptedFiring,
    accepted_run,
    is_listed,
    lists_held,
)
from activityctl.domain.runs.run import Run
from activityctl.domain.values import ids
from activityctl.domain.values.selection import Selection


def accepted_runs(state: MemoryState, selection: Selection) -> list[Run]:
    """Return the selected firings without a run, newest first."""
    if not is_listed(selection):
        return []
    found = [
        _run_of(state, row)
        for row in _without_run(state)
        if selection.subscription_id in (None, row.firing.subscription_id)
        and selection.run_id in (None, row.firing.ref.run_id)
        and (selection.since is None or row.created_at >= selection.since)
        and state.has_labels(row.firing.subscription_id, selection)
        and (selection.run_id or lists_held(selection) or not _is_held(row))
    ]
    return found[: selection.limit]


def accepted_with(state: MemoryState, reference: str) -> list[Run]:
    """Return the firings whose run's id will begin like this, at most two."""
    found = [_run_of(state, row) for row in _without_run(state)]
    return [run for run in found if reference and run.id.startswith(reference)][:2]


def _without_run(state: MemoryState) -> list[FiringRow]:
    waiting = [
        row
        for row in reversed(state.firings.values())
        if row.firing.ref.run_id not in state.runs and not _is_given_up(state, row)
    ]
    return sorted(waiting, key=lambda row: row.created_at, reverse=True)


def _is_given_up(state: MemoryState, row: FiringRow) -> bool:
    """Return whether a cancelled backfill holds it."""
    if not _is_held(row) or row.backfill_id is None:
        return False
    return state.backfills[row.backfill_id].is_cancelled


def _is_held(row: FiringRow) -> bool:
    return row.fires_at is None and row.dispatched_at is None


def _run_of(state: MemoryState, row: FiringRow) -> Run:
    subscription = state.catalog.subscriptions[row.firing.subscription_id]
    revision_id, params = state.frozen_of(subscription, row)
    accepted = AcceptedFiring(
        row.firing,
        subscription.name,
        state.catalog.revisions[revision_id].definition,
        ids.RevisionId(revision_id),
        params,
        row.created_at,
        row.fires_at,
        row.priority,
        row.dispatched_at is not None,
        row.order_key is not None,
        row.not_before,
        row.error,
    )
    return accepted_run(accepted, state.clock())
