"""The JSON views of a backfill: what it would run, and what it has started."""

from activityctl.domain.runs.backfill import BackfillProgress, choice_view, progress_view
from activityctl.domain.values.json_form import API_VERSION, View, format_timestamp
from activityctl.operations.runs.backfill import BackfillPreview


def preview_view(subscription: str, found: BackfillPreview) -> View:
    """Return the times that would run, and those that are left out."""
    return {**_head(subscription, found, 0), **choice_view(found.choice)}


def result_view(
    subscription: str, found: BackfillPreview, added: int, progress: BackfillProgress
) -> View:
    """Return the result of a backfill."""
    return {**_head(subscription, found, added), "progress": progress_view(progress)}


def _head(subscription: str, found: BackfillPreview, added: int) -> View:
    wanted = found.backfill
    return {
        "apiVersion": API_VERSION,
        "kind": "Backfill",
        "id": wanted.id,
        "subscription": subscription,
        "trigger": wanted.trigger,
        "from": format_timestamp(wanted.first),
        "to": format_timestamp(wanted.last),
        "maxParallel": wanted.max_parallel,
        "added": added,
    }
