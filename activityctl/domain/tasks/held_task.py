"""HeldTask: a task that a breaker or a limit holds up, for people."""

from dataclasses import dataclass
from datetime import datetime

from activityctl.domain.values.json_form import View, format_timestamp


@dataclass(frozen=True, slots=True)
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
