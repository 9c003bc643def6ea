"""The course of one `explain event`: its events read, explained and shown."""

from typing import Final

from activityctl import wiring
from activityctl.cli.emit_options import fill_in
from activityctl.cli.render.event_explanation import print_explained
from activityctl.cli.render.output import print_json
from activityctl.cli.session import Session
from activityctl.domain.events.emit_result import ValidEvent
from activityctl.domain.values.json_form import list_view
from activityctl.errors import InvalidInputError, InvalidManifestsError, UsageError
from activityctl.operations.events.emit import checked_events
from activityctl.operations.events.explain_event import Explained, explain_stored, explain_unsent
from activityctl.wiring import Ports

_MOST_EVENTS: Final = 1_000


def explain_event(
    session: Session, reference: str | None, file: str | None, subscription: str | None, shape: str
) -> None:
    """Explain a stored event, or those of a file; UsageError unless exactly one is named."""
    if (reference is None) == (file is None):
        raise UsageError(
            "explain event needs an event",
            hint="activityctl explain event ID, or activityctl explain event -f FILE",
        )
    offered = _offered(file) if file is not None else []

    async def work(ports: Ports) -> list[Explained]:
        if reference is None:
            return await explain_unsent(ports.catalog, offered, subscription)
        return [await explain_stored(ports.catalog, ports.events, reference, subscription)]

    found = session.with_ports(work)
    if shape == "json":
        print_json(session.out, list_view(one.view for one in found))
        return
    for number, one in enumerate(found):
        if number:
            session.out.print()
        print_explained(session.out, one, shows_all=shape == "wide" or subscription is not None)


def _offered(path: str) -> list[ValidEvent]:
    """Return the events of a file, which are all right; else every problem is told."""
    found: list[ValidEvent] = []
    problems = []
    with wiring.open_events(path) as source:
        for one in checked_events(source.events(), fill_in):
            if isinstance(one, ValidEvent):
                found.append(one)
            else:
                problems.append(one.problem)
            if len(found) + len(problems) > _MOST_EVENTS:
                raise InvalidInputError(f"{path}: more than {_MOST_EVENTS:,} events to explain")
    if problems:
        raise InvalidManifestsError(problems)
    return found
