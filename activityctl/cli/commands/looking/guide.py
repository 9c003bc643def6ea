"""`activityctl guide`: the documentation, page by page."""

import itertools
import os
from typing import TYPE_CHECKING, Annotated, Final

import typer

from activityctl.cli.completion import guide_topics
from activityctl.cli.guide_pages import (
    Entry,
    Hit,
    Page,
    contents,
    find_page,
    for_terminal,
    read_pages,
    search_pages,
)
from activityctl.cli.options import output_option
from activityctl.cli.render.output import check_format, print_json
from activityctl.cli.session import Session
from activityctl.domain.values.json_form import list_view
from activityctl.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

_WIDEST: Final = 100
"""Longer lines are hard to read, even in a wide terminal."""


def guide(
    context: typer.Context,
    topic: Annotated[
        str | None,
        typer.Argument(
            help="A page, or the beginning of its name; without it, list all pages.",
            autocompletion=guide_topics,
        ),
    ] = None,
    search: Annotated[
        str | None,
        typer.Option(
            "--search", "-s", help="Show the lines that have these words.", metavar="TEXT"
        ),
    ] = None,
    pager: Annotated[bool, typer.Option(help="Show a page in $PAGER, on a terminal.")] = True,
    output: Annotated[str, output_option("text", "json")] = "text",
) -> None:
    """Read the documentation: list its pages, show one, or search all of them.

    activityctl guide

    activityctl guide time-zones

    activityctl guide --search "misfire window"
    """
    session: Session = context.obj
    output_format = check_format(output, ("text", "json"))
    pages = read_pages()
    if search is not None:
        if topic is not None:
            raise UsageError("give a topic or --search, not both", hint="activityctl guide --help")
        _show_hits(session.out, search_pages(pages, search), search, output_format)
    elif topic is not None:
        page = find_page(pages, topic)
        if output_format == "json":
            print_json(session.out, {**_view(page), "text": page.text})
        else:
            _show_page(session.out, page, uses_pager=pager)
    elif output_format == "json":
        print_json(session.out, list_view(_view(page) for page in pages))
    else:
        _show_contents(session.out, contents(pages))
        session.err.print("read one with: activityctl guide TOPIC")


def _view(page: Page) -> dict[str, str]:
    return {"topic": page.topic, "title": page.title, "summary": page.summary}


def _show_contents(console: "Console", entries: list[Entry]) -> None:
    width = max(len(entry.topic) for entry in entries)
    for subject, rows in itertools.groupby(entries, key=lambda entry: entry.subject):
        console.print(subject, style="bold")
        for entry in rows:
            console.print(f"  {entry.topic:<{width}}  {entry.purpose}", soft_wrap=True)


def _show_page(console: "Console", page: Page, *, uses_pager: bool) -> None:
    """Render the page on a terminal; elsewhere print its Markdown."""
    if not console.is_terminal:
        console.file.write(page.text)
        return
    from rich.markdown import Markdown

    rendered = Markdown(for_terminal(page), hyperlinks=False, code_theme="ansi_dark")
    width = min(console.width, _WIDEST)
    if not uses_pager or console.color_system is None:  # a pager writes escape sequences itself
        console.print(rendered, width=width)
        return
    # As git does: less ends at once when the page fits, keeps colours, and leaves the screen.
    os.environ.setdefault("LESS", "FRX")
    with console.pager(styles=True, links=False):
        console.print(rendered, width=width)


def _show_hits(console: "Console", hits: list[Hit], text: str, output_format: str) -> None:
    if output_format == "json":
        items = [{"topic": hit.topic, "heading": hit.heading, "line": hit.line} for hit in hits]
        print_json(console, list_view(items))
        return
    if not hits:
        raise NotFoundError("guide text", text, hint="activityctl guide")
    previous = None
    for hit in hits:
        if (hit.topic, hit.heading) != previous:
            console.print(f"{hit.topic}: {hit.heading}", style="bold")
            previous = (hit.topic, hit.heading)
        console.print(f"  {hit.line}")
