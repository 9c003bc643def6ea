"""`activityctl plan`: show what apply would change."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from activityctl.cli.applying import load_files, unread_objects, with_options
from activityctl.cli.options import (
    AllowEmpty,
    ApplySet,
    Files,
    Prune,
    Recursive,
    Since,
    TakeOver,
    Until,
    default_files,
    output_option,
    replace_old_option,
)
from activityctl.cli.render.output import check_format, print_json
from activityctl.cli.render.plan_markdown import markdown
from activityctl.cli.render.plan_text import print_plan
from activityctl.cli.session import Session, now
from activityctl.cli.verbs.gitops import Events, gitops_of
from activityctl.domain.values.duration import format_duration, parse_duration
from activityctl.domain.values.time_range import is_duration
from activityctl.errors import RefusedError, UsageError, reason_of
from activityctl.operations.gitops.plan_impact import event_range
from activityctl.private_file import write_private


def plan(
    context: typer.Context,
    files: Files = [],  # noqa: B006  # typer copies it
    recursive: Recursive = False,
    applyset: ApplySet = None,
    prune: Prune = False,
    take_over: TakeOver = False,
    allow_empty: AllowEmpty = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Save the plan to this file; `activityctl apply FILE` applies it.", metavar="FILE"
        ),
    ] = None,
    since: Since = None,
    until: Until = None,
    against_events: Annotated[str | None, typer.Option("--against-events", hidden=True)] = None,
    detailed_exitcode: Annotated[
        bool,
        typer.Option(
            "--detailed-exitcode", help="Exit 0 if nothing would change, 2 if something would."
        ),
    ] = False,
    output: Annotated[str, output_option("text", "json", "markdown")] = "text",
) -> None:
    """Show what apply would change: objects, fields, schedules and their next firings.

    With --since, also compare the event triggers that change with the stored events of the time
    range: show which of them match now and which would match. Without -f, read the folder
    definitions/.

    activityctl plan -f definitions/ -o markdown

    activityctl plan -f definitions/ --out plan.json && activityctl apply plan.json

    activityctl plan -f definitions/ --since 7d
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json", "markdown"))
    paths = default_files(files)
    loaded = with_options(
        load_files(session, paths, recursive=recursive, may_be_empty=prune),
        applyset=applyset,
        prune=prune,
        take_over=take_over,
        allow_empty=allow_empty,
        unread=unread_objects(paths, recursive=recursive, prune=prune),
    )
    since = _replace_against_events(session, since, against_events)
    span = event_range(since, until, now())
    events = None if span is None else Events(span, since, until)
    planned = session.with_ports(
        lambda ports: gitops_of(session, ports).plan(loaded, events, is_saved=out is not None)
    )
    match shape:
        case "json":
            print_json(session.out, planned.view)
        case "markdown":
            command = ["activityctl", "plan", *(word for path in paths for word in ("-f", path))]
            command += ["-R"] * recursive + ["--prune"] * prune
            command += ["--take-over"] * take_over + ["--allow-empty"] * allow_empty
            for option, value in (("--applyset", applyset), ("--since", since), ("--until", until)):
                command += [option, value] if value else []
            session.out.file.write(markdown(planned.view, shlex.join(command)))
        case _:
            print_plan(session.out, planned.view)
    if out is not None and planned.saved is not None:
        try:
            _write(out, planned.saved)
        except OSError as error:
            raise RefusedError(
                f"could not save the plan as {out}: {reason_of(error)}",
                hint="name a file that you can write with --out",
            ) from error
        session.err.print(f"saved; to apply it: activityctl apply {out}")
    if detailed_exitcode and not planned.is_empty:
        raise typer.Exit(2)


def _replace_against_events(session: Session, since: str | None, age: str | None) -> str | None:
    """Return the value of `--since`; the old option `--against-events` had the age of events."""
    if age is None:
        return since
    text = age.removeprefix("-")
    try:
        duration = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--against-events: {error}") from None
    old = f"-{text if is_duration(text) else format_duration(duration)}"
    return replace_old_option(session, "--since", since, "--against-events", old)


def _write(path: Path, text: str) -> None:
    """Write a file that only its owner can read: a plan has all values of the manifests."""
    if path.exists() and not path.is_file():
        path.write_text(text, "utf-8")  # /dev/stdout and the like
        return
    write_private(path, text)
