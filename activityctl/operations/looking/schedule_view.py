"""The JSON form of a listed schedule."""

from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.ports import ListedSchedule


def schedule_view(row: ListedSchedule) -> View:
    """Return the schedule with its subscription and what is known of it in Temporal."""
    return {
        "id": row.wanted.id,
        "subscription": row.subscription,
        "subscriptionId": row.wanted.subscription_id,
        "trigger": row.wanted.trigger,
        "kind": row.wanted.kind,
        "spec": row.wanted.body,
        "alarm": row.alarm,
        "status": row.status,
        "error": row.error,
        "observedAt": format_timestamp(row.observed_at),
    }
