"""How `describe` shows an object that has a page: as text, HTML or a picture."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final
from urllib.parse import quote

from activityctl.cli.render.story.definition_page import definition_page
from activityctl.cli.render.story.letter_page import letter_page
from activityctl.cli.render.story.page import Page
from activityctl.cli.render.story.page_html import page_html
from activityctl.cli.render.story.page_text import print_heading, print_page, print_title
from activityctl.cli.render.story.run_page import run_page
from activityctl.cli.render.story.subscription_page import subscription_page
from activityctl.cli.render.story.timeline import timeline_of
from activityctl.cli.render.story.timeline_svg import timeline_svg
from activityctl.cli.render.story.timeline_text import print_timeline
from activityctl.cli.session import Session, now
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.errors import ActivityctlError
from activityctl.version import VERSION

_MOST_LINES_IN_A_FILE = 400
_PAGES: Final[Mapping[str, Callable[..., Page]]] = {
    "subscription": subscription_page,
    "definition": definition_page,
    "deadletter": letter_page,
}
"""The page of each kind of object except runs."""


def show_page(session: Session, view: View, shape: str, *, timeline: bool = False) -> None:
    """Print the page of a run, a subscription, a definition or a dead letter: text, HTML or SVG."""
    if view["kind"] == "run":
        _show_run(session, view, shape, timeline=timeline)
        return
    page = _PAGES[str(view["kind"]).lower()](view, **_lines_of(shape))
    if shape == "html":
        session.out.file.write(page_html(page, "", _made(now())))
    else:
        print_page(session.out, page)


def _show_run(session: Session, view: View, shape: str, *, timeline: bool) -> None:
    """Print the run of the JSON view as text, HTML or SVG."""
    moment = now()
    page = run_page(
        view,
        _temporal_page(session, view["workflow"]),
        moment=format_timestamp(moment),
        **_lines_of(shape),
    )
    times = timeline_of(view, moment)
    title = f"{page.title}  {page.status}"
    if shape == "svg":
        session.out.file.write(timeline_svg(times, f"{view['subscription']}: {title}"))
    elif shape == "html":
        picture = timeline_svg(times, f"{view['subscription']}: {title}") if times.rows else ""
        session.out.file.write(page_html(page, picture, _made(moment)))
    elif timeline:
        print_title(session.out, page)
        print_heading(session.out, "timeline")
        print_timeline(session.out, times)
    else:
        print_page(session.out, page)


def _lines_of(shape: str) -> dict[str, int]:
    """Return how many lines of a value are shown, if it differs from the default."""
    return {} if shape == "text" else {"most_lines": _MOST_LINES_IN_A_FILE}


def _made(moment: datetime) -> str:
    return f"written by activityctl {VERSION} at {format_timestamp(moment)}"


def page_of_run(session: Session, view: View) -> Page:
    """Return the page of a run from its JSON view."""
    return run_page(view, _temporal_page(session, view["workflow"]))


def _temporal_page(session: Session, workflow: str | None) -> str | None:
    """Return the address of the workflow in Temporal's web page, if there is one."""
    page = session.settings.temporal_ui or _local_page(session)
    if workflow is None or page is None:
        return None
    namespace = session.settings.temporal_namespace
    return f"{page}/namespaces/{namespace}/workflows/{quote(workflow, safe='')}"


def _local_page(session: Session) -> str | None:
    """Return the web page of the local Temporal, if that runs."""
    if not session.settings.uses_local_daemon:
        return None
    from activityctl.daemon.local.embedded_temporal import UI_PORT
    from activityctl.daemon.local.state import read_state

    try:
        return read_state(session.settings.home).addresses.get(UI_PORT)
    except ActivityctlError:
        return None
