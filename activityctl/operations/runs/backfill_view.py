"""The JSON views of a backfill: what it would run, and what it has started."""

from datetime import datetime

from activityctl.domain.runs.backfill import (
    Backfill,
    BackfillChoice,
    BackfillProgress,
    choice_view,
    progress_view,
)
from activityctl.domain.values.json_form import API_VERSION, View, format_timestamp
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.runs.backfill import BackfillPreview


@frozen_dataclass
class ShownBackfill:
    """What a backfill would start now."""

    subscription: str
    """As it was named."""
    backfill: Backfill
    choice: BackfillChoice
    only_missed: bool
    zone: str
    """The time zone of the trigger."""
    existed_from: datetime
    """When the subscription was first applied."""
    found: BackfillPreview | None = None
    """What has found it, if that was here."""

    @property
    def before_it_existed(self) -> int:
        """How many of the times to run are before the subscription existed."""
        return sum(nominal < self.existed_from for nominal in self.choice.to_run)


def preview_view(subscription: str, wanted: Backfill, choice: BackfillChoice) -> View:
    """Return the times that would run, and those that are left out."""
    return {**_head(subscription, wanted, 0), **choice_view(choice)}


def result_view(
    subscription: str, wanted: Backfill, added: int, progress: BackfillProgress
) -> View:
    """Return the result of a backfill."""
    return {**_head(subscription, wanted, added), "progress": progress_view(progress)}


def _head(subscription: str, wanted: Backfill, added: int) -> View:
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
