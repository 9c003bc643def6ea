"""JSON forms of definitions, subscriptions, calendars and event sources, with keys in camelCase."""

from collections.abc import Mapping
from typing import Any

from activityctl.domain.bodies.secret_texts import mask_literals
from activityctl.domain.manifests.calendar import PresentCalendar, count_days
from activityctl.domain.manifests.definition import Revision
from activityctl.domain.manifests.event_source import PresentEventSource
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.sources.traffic import SourceTraffic, traffic_view
from activityctl.domain.values.credentials import mask_credentials
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.domain.values.model import canonical


def subscription_view(subscription: Subscription) -> View:
    """Return the JSON form of a subscription; credentials are masked."""
    return {
        "id": subscription.id,
        "name": subscription.name,
        "definition": subscription.definition,
        "status": subscription.status.value,
        "failures": subscription.failures,
        "pauseReason": subscription.pause_reason,
        "pausedAt": format_timestamp(subscription.paused_at),
        "pausedByRun": subscription.paused_by_run,
        "params": mask_literals(subscription.params, ("params",)),
        "triggers": mask_literals(subscription.triggers, ("triggers",)),
        "account": subscription.account,
        "labels": subscription.labels,
        "annotations": subscription.annotations,
        "applyset": subscription.applyset,
        "state": mask_credentials(subscription.state),
        "createdAt": format_timestamp(subscription.created_at),
        "updatedAt": format_timestamp(subscription.updated_at),
    }


def definition_view(row: Mapping[str, Any], revision: Revision) -> View:
    """Return the JSON form of a definition with its current revision; credentials are masked."""
    return {
        "name": row["name"],
        "revision": revision.id,
        "number": revision.number,
        "description": revision.spec.get("description", ""),
        "subscriptions": row["subscriptions"],
        "labels": row["labels"],
        "annotations": row["annotations"],
        "applyset": row["applyset"],
        "createdAt": format_timestamp(row["since"]),
        "updatedAt": format_timestamp(row["updated_at"]),
        "spec": mask_literals(revision.spec),
    }


def calendar_view(calendar: PresentCalendar) -> View:
    """Return the JSON form of a calendar with its days."""
    return {
        "name": calendar.name,
        "labels": dict(calendar.labels),
        "annotations": dict(calendar.annotations),
        "applyset": calendar.applyset,
        "count": count_days(calendar.days),
        "createdAt": format_timestamp(calendar.created_at),
        "updatedAt": format_timestamp(calendar.updated_at),
        "days": [str(span) for span in calendar.days],
    }


def source_view(source: PresentEventSource, traffic: SourceTraffic) -> View:
    """Return the JSON form of an event source, with what came to it; it has no secrets."""
    return {
        "name": source.name,
        "description": source.spec.description,
        "path": f"/v1/sources/{source.name}",
        "verify": source.spec.verify.text,
        "isOpen": source.spec.verify.is_open,
        "secrets": list(source.spec.verify.secret_names),
        **traffic_view(traffic),
        "labels": dict(source.labels),
        "annotations": dict(source.annotations),
        "applyset": source.applyset,
        "createdAt": format_timestamp(source.created_at),
        "updatedAt": format_timestamp(source.updated_at),
        "spec": mask_literals(canonical(source.spec)),
    }


def revision_view(revision: Revision) -> View:
    """Return the JSON form of a revision; credentials are masked."""
    return {
        "id": revision.id,
        "definition": revision.definition,
        "number": revision.number,
        "createdAt": format_timestamp(revision.created_at),
        "spec": mask_literals(revision.spec),
    }
