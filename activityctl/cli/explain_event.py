"""The steps of `explain event`: read the events or a saved request, explain and print them."""

from typing import Final

from activityctl import wiring
from activityctl.cli.emit_options import fill_in
from activityctl.cli.render.event_explanation import print_explained
from activityctl.cli.render.output import print_json
from activityctl.cli.render.request_explanation import print_request
from activityctl.cli.session import Session
from activityctl.cli.verbs.explain import explain_of
from activityctl.domain.events.emit_result import ValidEvent
from activityctl.domain.values.json_form import View, list_view
from activityctl.errors import InvalidInputError, InvalidManifestsError, UsageError
from activityctl.operations.events.emit import checked_events
from activityctl.wiring import Ports

_MOST_EVENTS: Final = 1_000


def explain_event(
    session: Session, reference: str | None, file: str | None, subscription: str | None, shape: str
) -> None:
    """Explain a stored event or the events of a file; UsageError for both or neither."""
    if (reference is None) == (file is None):
        raise UsageError(
            "explain event needs either an id or a file",
            hint="activityctl explain event ID, or activityctl explain event -f FILE",
        )
    unsent = _read_events(file) if file is not None else []

    async def work(ports: Ports) -> list[View]:
        verbs = explain_of(session, ports)
        if reference is None:
            return await verbs.unsent(unsent, subscription)
        return [await verbs.stored(reference, subscription)]

    explained = session.with_ports(work)
    if shape == "json":
        print_json(session.out, list_view(explained))
        return
    for number, event in enumerate(explained):
        if number:
            session.out.print()
        print_explained(session.out, event, shows_all=shape == "wide" or subscription is not None)


def explain_request(
    session: Session, source: str, file: str, subscription: str | None, shape: str
) -> None:
    """Explain what an event source does with the HTTP request of a file; nothing is stored."""
    content = wiring.read_saved_request(file)

    async def work(ports: Ports) -> View:
        return await explain_of(session, ports).request(source, content, file, subscription)

    explained = session.with_ports(work)
    if shape == "json":
        print_json(session.out, explained)
        return
    print_request(session.out, explained, shows_all=shape == "wide" or subscription is not None)


def _read_events(path: str) -> list[ValidEvent]:
    """Return the events of the file.

    InvalidManifestsError lists every problem. InvalidInputError if there are too many events.
    """
    events: list[ValidEvent] = []
    problems = []
    with wiring.open_events(path) as source:
        for event in checked_events(source.events(), fill_in):
            if isinstance(event, ValidEvent):
                events.append(event)
            else:
                problems.append(event.problem)
            if len(events) + len(problems) > _MOST_EVENTS:
                raise InvalidInputError(
                    f"{path}: too many events to explain, the limit is {_MOST_EVENTS:,}"
                )
    if problems:
        raise InvalidManifestsError(problems)
    return events
