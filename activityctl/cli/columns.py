"""Which columns each kind has as a table."""

from collections.abc import Mapping, Sequence
from typing import Final

from activityctl.cli.output import Column, age, duration
from activityctl.domain.view import View
from activityctl.operations.look import Kind

_ID: Final = 8


def _field(name: str) -> Column:
    return (name.upper(), lambda view: view[name])


def _id(view: View) -> str:
    return str(view["id"])[:_ID]


def _task_name(view: View) -> str:
    name = str(view["name"]) + (f"[{view['index']}]" if view["index"] else "")
    return name if view["phase"] == "main" else f"{name} (onFailure)"


_COLUMNS: Final[Mapping[Kind, Sequence[Column]]] = {
    "definitions": (
        _field("name"),
        ("REVISION", lambda view: f"{view['number']} ({view['revision'][:_ID]})"),
        _field("subscriptions"),
        ("UPDATED", lambda view: age(view["updatedAt"])),
        _field("description"),
    ),
    "subscriptions": (
        ("ID", _id),
        _field("name"),
        _field("definition"),
        _field("status"),
        ("UPDATED", lambda view: age(view["updatedAt"])),
    ),
    "calendars": (
        _field("name"),
        ("DAYS", lambda view: view["count"]),
        ("UPDATED", lambda view: age(view["updatedAt"])),
    ),
    "revisions": (
        ("ID", _id),
        _field("definition"),
        _field("number"),
        ("CREATED", lambda view: age(view["createdAt"])),
    ),
    "schedules": (
        _field("subscription"),
        _field("trigger"),
        _field("kind"),
        ("SPEC", lambda view: " ".join(f"{key}={value}" for key, value in view["spec"].items())),
        _field("status"),
        _field("error"),
    ),
    "runs": (
        ("ID", _id),
        _field("subscription"),
        _field("trigger"),
        _field("status"),
        ("DUE", lambda view: age(view["dueAt"])),
        ("TOOK", lambda view: duration(view["startedAt"], view["endedAt"])),
        _field("reason"),
    ),
    "tasks": (
        ("ID", _id),
        ("RUN", lambda view: view["run"][:_ID]),
        ("NAME", _task_name),
        _field("kind"),
        _field("status"),
        _field("attempts"),
        ("TOOK", lambda view: duration(view["startedAt"], view["endedAt"])),
        ("ERROR", lambda view: view["error"] or view["reason"]),
    ),
    "deadletters": (
        ("ID", _id),
        ("RUN", lambda view: view["run"][:_ID]),
        ("CREATED", lambda view: age(view["createdAt"])),
        _field("reason"),
    ),
    "events": (
        _field("id"),
        _field("source"),
        _field("type"),
        _field("subject"),
        _field("status"),
        ("ARRIVED", lambda view: age(view["arrivedAt"])),
    ),
}
_WIDE: Final[Mapping[Kind, Sequence[Column]]] = {
    "definitions": (("FULL REVISION", lambda view: view["revision"]),),
    "subscriptions": (
        ("FULL ID", lambda view: view["id"]),
        _field("params"),
        _field("labels"),
        ("PAUSED", lambda view: view["pausedAt"] and age(view["pausedAt"])),
        ("PAUSE REASON", lambda view: view["pauseReason"]),
    ),
    "calendars": (_field("days"), _field("labels")),
    "revisions": (("FULL ID", lambda view: view["id"]),),
    "runs": (
        ("FULL ID", lambda view: view["id"]),
        ("FIRING KEY", lambda view: view["firingKey"]),
        ("REVISION", lambda view: view["revision"][:_ID]),
    ),
    "tasks": (("FULL ID", lambda view: view["id"]), _field("output")),
    "deadletters": (("FULL RUN", lambda view: view["run"]),),
    "events": (("UID", lambda view: view["uid"]), _field("time")),
}


def columns_of(kind: Kind, *, wide: bool) -> Sequence[Column]:
    """Return the kind's columns; wide adds full ids and more."""
    return (*_COLUMNS[kind], *_WIDE.get(kind, ())) if wide else _COLUMNS[kind]
