"""The columns of each kind in a table of `get`."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from activityctl.cli.render.output import Column, age, duration
from activityctl.cli.render.relayer_columns import RELAYERS, RELAYERS_WIDE
from activityctl.cli.render.task_tree import label_of
from activityctl.domain.tasks.manual import MANUAL
from activityctl.domain.values.json_form import View
from activityctl.operations.looking.kinds import Kind

_ID: Final = 8
_SECOND: Final = timedelta(seconds=1)


def _field(name: str) -> Column:
    return (name.upper(), lambda view: view[name])


def _id(view: View) -> str:
    return str(view["id"])[:_ID]


def _run_status(view: View) -> str:
    """Return the status of a run, and whether it is stuck."""
    return f"{view['status']}, stuck" if view["stuck"] else str(view["status"])


def _run_reason(view: View) -> str | None:
    """Return the reason of a run, or why it is stuck."""
    reason: str | None = view["stuck"]["reason"] if view["stuck"] else view["reason"]
    return reason


def _status(view: View) -> str:
    """Return the status of a subscription, its open dead letters, triggers that are unreadable."""
    names = ", ".join(str(trigger["trigger"]) for trigger in view.get("unreadableTriggers", ()))
    letters = view.get("openDeadLetters", 0)
    parts = [str(view["status"])]
    parts += [f"{letters:,} dead"] if letters else []
    return "; ".join([*parts, *([f"unreadable: {names}"] if names else [])])


def _letter_error(view: View) -> str:
    """Return the error without the name of the task, which has a column."""
    return str(view["reason"]).removeprefix(f"task {view['task']} failed: ")


def _task_name(view: View) -> str:
    name = "  " * view.get("depth", 0) + view.get("shown", label_of(view))
    return name if view["phase"] == "main" else f"{name} ({view['phase']})"


def _flow(value: object) -> object:
    """Return an object or list as YAML on one line, any other value unchanged."""
    if not isinstance(value, dict | list):
        return value
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes texts of several lines in double quotes, so that they stay on one line."""

    def text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
        style = '"' if "\n" in text else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, text)
    return yaml.dump(
        value,
        Dumper=Dumper,
        default_flow_style=True,
        sort_keys=False,
        allow_unicode=True,
        width=float("inf"),
    ).strip()


def _flow_field(name: str) -> Column:
    return (name.upper(), lambda view: _flow(view[name]))


def _pairs(values: Mapping[str, object]) -> str | None:
    return ", ".join(f"{key}={value}" for key, value in values.items()) or None


def _spec(view: View) -> str:
    return " ".join(f"{key}={_flow(value)}" for key, value in view["spec"].items())


def _moment(text: str | None) -> str | None:
    """Return a time stamp in UTC, to the second."""
    return None if text is None else text[: len("2026-01-01T00:00:00")] + "Z"


def _late(view: View) -> str | None:
    """Return how long after its due time a run began.

    None if it has not begun, or began within a second.
    """
    if view["startedAt"] is None or view["dueAt"] is None:
        return None
    began = datetime.fromisoformat(view["startedAt"])
    late = began - datetime.fromisoformat(view["dueAt"])
    return None if late < _SECOND else duration(view["dueAt"], view["startedAt"])


def _of_input(view: View, name: str) -> object:
    body = view["input"]
    return body.get(name) if view["kind"] == MANUAL and isinstance(body, dict) else None


def _waits_for(view: View) -> str | None:
    """Return for whom a waiting task waits, and until when."""
    if view["status"] != "waiting":
        return None
    whom = f"for {_of_input(view, 'assignee') or 'a person'}" if view["kind"] == MANUAL else ""
    left = age(view["waitsUntil"]) if view["waitsUntil"] else "-"
    until = f", {left.removeprefix('in ')} left" if left.startswith("in ") else ""
    return f"waits{whom and ' '}{whom}{until}"


def _number(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


def _nodes(view: View) -> str | None:
    """Return how many nodes of a chain can be used, of how many."""
    nodes = view["nodes"]
    usable = sum(node["fault"] is None for node in nodes)
    return f"{usable} of {len(nodes)}" if nodes else None


def _at_work(view: View) -> str:
    """Return how many attempts are at work, of how many that may be."""
    most = view["concurrency"]
    return str(view["atWork"]) if most is None else f"{view['atWork']} of {most:,}"


_CHANGES: Final = frozenset({"created", "configured", "deleted"})


def _audited(view: View) -> str | None:
    """Return what was changed; without a target, the changes of an apply, or how many events."""
    if view["target"]:
        return str(view["target"])
    details = view["details"]
    told = [f"set {details['applyset']}"] if details.get("applyset") else []
    for name, value in details.items():
        if name in _CHANGES:
            told.append(f"{name} {value}")
        elif value and type(value) is int:
            told.append(f"{value:,} {name}")
    return "; ".join(told) or None


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
        ("STATUS", _status),
        ("LAST RUN", lambda view: view["lastRun"] and view["lastRun"]["status"]),
        ("AGO", lambda view: view["lastRun"] and age(view["lastRun"]["createdAt"])),
        ("NEXT", lambda view: view["nextDueAt"] and age(view["nextDueAt"])),
    ),
    "calendars": (
        _field("name"),
        ("DAYS", lambda view: view["count"]),
        ("UPDATED", lambda view: age(view["updatedAt"])),
    ),
    "sources": (
        _field("name"),
        ("VERIFY", lambda view: view["verify"].partition(" ")[0].rstrip(":")),
        _field("accepted"),
        ("LAST", lambda view: view["lastAcceptedAt"] and age(view["lastAcceptedAt"])),
        _field("refused"),
        ("LAST REFUSED", lambda view: view["lastRefusedAt"] and age(view["lastRefusedAt"])),
        _field("description"),
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
        _field("alarm"),
        _field("status"),
        _field("error"),
    ),
    "runs": (
        ("ID", _id),
        _field("subscription"),
        _field("trigger"),
        ("STATUS", _run_status),
        ("DUE", lambda view: age(view["dueAt"])),
        ("TOOK", lambda view: duration(view["startedAt"], view["endedAt"])),
        ("REASON", _run_reason),
    ),
    "tasks": (
        ("ID", _id),
        ("RUN", lambda view: view["run"][:_ID]),
        ("NAME", _task_name),
        _field("kind"),
        _field("status"),
        _field("attempts"),
        ("TOOK", lambda view: duration(view["startedAt"], view["endedAt"])),
        ("ERROR", lambda view: view["error"] or view["reason"] or _waits_for(view)),
    ),
    "deadletters": (
        ("ID", _id),
        _field("subscription"),
        _field("task"),
        _field("status"),
        ("AGE", lambda view: age(view["createdAt"])),
        ("ERROR", _letter_error),
    ),
    "events": (
        _field("id"),
        _field("source"),
        _field("type"),
        _field("subject"),
        _field("status"),
        ("ARRIVED", lambda view: age(view["arrivedAt"])),
    ),
    "workers": (
        ("ID", _id),
        _field("host"),
        _field("pid"),
        _field("version"),
        _field("status"),
        ("STARTED", lambda view: age(view["startedAt"])),
    ),
    "breakers": (
        _field("name"),
        _field("status"),
        ("SINCE", lambda view: age(view["since"])),
        ("OPEN UNTIL", lambda view: view["openUntil"] and age(view["openUntil"])),
        _field("openings"),
        _field("reason"),
    ),
    "limits": (
        _field("name"),
        ("RATE", lambda view: view["rate"] and f"{view['rate']:,} per {view['per']}"),
        _field("burst"),
        ("AT WORK", _at_work),
        _field("waiting"),
        ("NEXT", lambda view: view["nextAt"] and age(view["nextAt"])),
        ("USED BY", lambda view: ", ".join(view["usedBy"]) or None),
    ),
    "relayers": RELAYERS,
    "audit": (
        ("WHEN", lambda view: age(view["at"])),
        _field("actor"),
        _field("action"),
        ("TARGET", _audited),
        _field("outcome"),
        ("FROM", lambda view: view["address"]),
    ),
    "sets": (
        _field("name"),
        _field("definitions"),
        _field("subscriptions"),
        _field("calendars"),
        _field("sources"),
        ("CHANGED", lambda view: view["changedAt"] and age(view["changedAt"])),
        ("BY", lambda view: view["actor"]),
    ),
    "chains": (
        ("CHAIN", lambda view: view["chainId"]),
        ("HEAD", lambda view: _number(view["head"])),
        ("READ", lambda view: _number(view["block"])),
        ("BEHIND", lambda view: _number(view["behind"])),
        _field("triggers"),
        ("NODES", _nodes),
        _field("error"),
    ),
}
_LABELS: Final[Column] = ("LABELS", lambda view: _pairs(view["labels"]))
_SET: Final[Column] = ("SET", lambda view: view["applyset"])
_WIDE: Final[Mapping[Kind, Sequence[Column]]] = {
    "definitions": (("FULL REVISION", lambda view: view["revision"]), _SET),
    "subscriptions": (
        ("FULL ID", lambda view: view["id"]),
        _SET,
        _flow_field("params"),
        _LABELS,
        ("DEAD LETTERS", lambda view: view["openDeadLetters"] or None),
        ("LAST RUN ID", lambda view: view["lastRun"] and view["lastRun"]["id"]),
        ("NEXT", lambda view: _moment(view["nextDueAt"])),
        ("UPDATED", lambda view: age(view["updatedAt"])),
        ("PAUSED", lambda view: view["pausedAt"] and age(view["pausedAt"])),
        ("PAUSE REASON", lambda view: view["pauseReason"]),
    ),
    "calendars": (("DAYS", lambda view: ", ".join(view["days"])), _SET, _LABELS),
    "sources": (
        _field("verify"),
        _field("path"),
        _field("duplicates"),
        _field("challenges"),
        _field("ignored"),
        ("SECRETS", lambda view: ", ".join(view["secrets"]) or None),
        _SET,
        _LABELS,
    ),
    "revisions": (("FULL ID", lambda view: view["id"]),),
    "schedules": (_field("kind"), ("SPEC", _spec)),
    "relayers": RELAYERS_WIDE,
    "audit": (
        ("WHEN", lambda view: _moment(view["at"])),
        ("REQUEST", lambda view: view["requestId"]),
        _flow_field("details"),
    ),
    "chains": (
        ("CHECKED", lambda view: view["checkedAt"] and age(view["checkedAt"])),
        ("HOSTS", lambda view: ", ".join(node["name"] for node in view["nodes"]) or None),
    ),
    "sets": (
        ("CHANGED", lambda view: _moment(view["changedAt"])),
        _field("command"),
        _field("commit"),
    ),
    "runs": (
        ("DUE", lambda view: _moment(view["dueAt"])),
        ("LATE", _late),
        ("FULL ID", lambda view: view["id"]),
        ("FIRING KEY", lambda view: view["firingKey"]),
        ("REVISION", lambda view: view["revision"][:_ID]),
    ),
    "tasks": (("FULL ID", lambda view: view["id"]), _flow_field("output")),
    "deadletters": (
        ("RUN", lambda view: view["run"]),
        _field("definition"),
        ("RETRY OF", lambda view: view["replayOf"]),
        ("BY", lambda view: view["lastAction"] and view["lastAction"]["actor"]),
        ("WHY", lambda view: view["lastAction"] and view["lastAction"]["reason"]),
        ("RESULT", lambda view: view["lastAction"] and view["lastAction"]["result"]),
    ),
    "workers": (
        ("FULL ID", lambda view: view["id"]),
        ("FAILING", lambda view: ", ".join(bad["loop"] for bad in view["troubles"]) or None),
    ),
    "events": (("UID", lambda view: view["uid"]), _field("time")),
}


_WAITING: Final[Sequence[Column]] = (
    ("ID", _id),
    ("RUN", lambda view: view["run"][:_ID]),
    ("NAME", _task_name),
    _field("kind"),
    ("FOR", lambda view: _of_input(view, "assignee")),
    ("SINCE", lambda view: age(view["startedAt"])),
    ("UNTIL", lambda view: view["waitsUntil"] and age(view["waitsUntil"])),
    ("INSTRUCTIONS", lambda view: _first_line(_of_input(view, "instructions"))),
)


def _first_line(text: object) -> str | None:
    first, *others = str(text or "").splitlines() or [""]
    return f"{first} …" if others else first or None


def waiting_columns(*, wide: bool) -> Sequence[Column]:
    """Return the columns of a list of waiting tasks."""
    more = (("FULL ID", lambda view: view["id"]), ("UNTIL", lambda view: view["waitsUntil"]))
    return tuple({**dict(_WAITING), **dict(more if wide else ())}.items())


def how_to_complete(kind: Kind, views: Sequence[View]) -> str | None:
    """Return what to type to complete a task of the list; None if none waits for a person."""
    if kind != "tasks":
        return None
    waiting = [view for view in views if view["status"] == "waiting" and view["kind"] == MANUAL]
    return f"complete one: activityctl complete {_id(waiting[0])}" if waiting else None


def columns_of(kind: Kind, *, wide: bool) -> Sequence[Column]:
    """Return the columns of a kind; wide adds full ids and more, and shows exact times."""
    if not wide:
        return _COLUMNS[kind]
    columns = dict(_COLUMNS[kind])
    columns.update(_WIDE.get(kind, ()))
    return tuple(columns.items())
