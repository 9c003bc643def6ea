"""`activityctl top`: watch workers, queues, runs, failures and breakers."""

import asyncio
from typing import Annotated

import typer

from activityctl.cli.describing import page_of_run
from activityctl.cli.keyboard import can_read_keys
from activityctl.cli.live_top import LiveTop
from activityctl.cli.options import output_option
from activityctl.cli.render.output import print_json, to_json
from activityctl.cli.render.story.page import Page
from activityctl.cli.render.top.screen import plain_lines
from activityctl.cli.session import Session
from activityctl.cli.streams import output_has_failed, raise_if_reader_has_gone
from activityctl.domain.runs.at_work import at_work_view
from activityctl.domain.values.json_form import API_VERSION, View
from activityctl.errors import UnreachableError
from activityctl.operations.looking.get import ObjectViews
from activityctl.operations.looking.run_story import RunStory
from activityctl.operations.looking.what_is_at_work import what_is_at_work
from activityctl.wiring import Ports

_PLAIN_WIDTH = 160


def top(
    context: typer.Context,
    interval: Annotated[
        float,
        typer.Option(min=0.2, max=3600, help="Read again after so long.", metavar="SECONDS"),
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print one block and end.")] = False,
    output: Annotated[str, output_option("text", "json", "jsonl")] = "text",
) -> None:
    """Watch what is going on: workers, queues and their lag, runs, failures, breakers, schedules.

    On a terminal, keys choose what is shown and open a run; `?` lists them, q ends it. Elsewhere
    it prints a block of lines after each interval. `-o json` prints one document and ends.

    activityctl top

    activityctl top --once

    activityctl top --interval 10 -o jsonl
    """
    session: Session = context.obj
    is_single = once or output == "json"
    is_live = output == "text" and not is_single and session.out.is_terminal and can_read_keys()

    async def watch(ports: Ports) -> int:
        if is_live:
            return await _live(session, ports, interval)
        await _print_each(session, ports, output, None if is_single else interval)
        return 0

    if code := session.with_ports(watch):
        raise typer.Exit(code)


async def _live(session: Session, ports: Ports, interval: float) -> int:
    async def read(text: str | None) -> View:
        return at_work_view(await what_is_at_work(ports.facts, ports.workers, text))

    async def tell(run: str) -> Page:
        views = ObjectViews(ports)
        story = RunStory(views, ports.catalog, ports.run_lists, ports.runs, ports.logbook)
        return page_of_run(session, await story.tell(run))

    live = LiveTop(session.out, read, tell, interval)
    await live.run()
    return live.exit_code


async def _print_each(session: Session, ports: Ports, shape: str, interval: float | None) -> None:
    """Print a block after each interval, until nobody reads; without an interval, once."""
    is_out = is_later = False
    while True:
        try:
            found = await what_is_at_work(ports.facts, ports.workers)
        except UnreachableError as error:
            if not is_later:
                raise
            if not is_out:
                session.err.print(f"{error.message}; waiting until it answers again")
            is_out = True
        else:
            if is_out:
                session.err.print("Postgres answers again")
            is_out = False
            if is_later and shape == "text":
                session.out.file.write("\n")
            _print(session, at_work_view(found), shape)
            is_later = True
        session.out.file.flush()
        if interval is None or output_has_failed():
            return
        await asyncio.sleep(interval)
        raise_if_reader_has_gone()


def _print(session: Session, view: View, shape: str) -> None:
    told = {"apiVersion": API_VERSION, "kind": "AtWork", **view}
    if shape == "json":
        print_json(session.out, told)
    elif shape == "jsonl":
        session.out.file.write(to_json(told) + "\n")
    else:
        width = session.out.width if session.out.is_terminal else _PLAIN_WIDTH
        for line in plain_lines(view, str(view["at"]), width):
            session.out.file.write(line + "\n")
