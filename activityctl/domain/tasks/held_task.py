"""HeldTask: a task that a breaker or a limit holds up, for people."""

from datetime import datetime
from typing import Final

from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.frozen_dataclass import frozen_dataclass

_OF_CONTEXT: Final = "/context/"


@frozen_dataclass
class HeldTask:
    """A task that waits for a breaker or a limit."""

    task_id: str
    breaker: str | None
    """The name of the breaker, or None if it waits for the limit."""
    limit: str | None
    since: datetime
    until: datetime
    """When it asks again."""
    name: str = ""
    """The name of the task."""
    run_id: str = ""


def held_view(held: HeldTask) -> View:
    """Return the JSON view of what holds up a task."""
    waits_for = f"breaker {held.breaker}" if held.breaker else f"limit {held.limit}"
    return {
        "waitsFor": waits_for,
        "since": format_timestamp(held.since),
        "until": format_timestamp(held.until),
    }


def waiting_view(held: HeldTask) -> View:
    """Return the JSON view of a task that waits for a limit, in the description of the limit."""
    return {
        "id": held.task_id,
        "run": held.run_id,
        "name": held.name,
        "since": format_timestamp(held.since),
        "until": format_timestamp(held.until),
    }


def lookup_id(run_id: str, name: str) -> str:
    """Return what names the lookup of a value of the context among held tasks."""
    return f"{run_id}{_OF_CONTEXT}{name}"


def parts_of_lookup(text: str) -> tuple[str, str]:
    """Return the run and the name of the value of a lookup_id."""
    run_id, _, name = text.partition(_OF_CONTEXT)
    return run_id, name
