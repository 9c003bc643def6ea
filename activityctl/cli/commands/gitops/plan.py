"""`activityctl plan`: show what apply would change."""

import shlex
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from activityctl import wiring
from activityctl.cli.options import (
    ApplySet,
    Files,
    Prune,
    Recursive,
    default_files,
    output_option,
)
from activityctl.cli.render.output import check_format, print_json
from activityctl.cli.render.plan_markdown import markdown
from activityctl.cli.render.plan_text import print_plan
from activityctl.cli.render.progress import event_progress
from activityctl.cli.session import Session, now
from activityctl.domain.gitops.trigger_impact import impact_view
from activityctl.domain.values.duration import parse_duration
from activityctl.errors import RefusedError, UsageError
from activityctl.operations.gitops.load import load_manifests
from activityctl.operations.gitops.plan import Planned, plan_of_files, wanted_of
from activityctl.operations.gitops.plan_impact import compare_with_events
from activityctl.operations.gitops.saved_plan import save
from activityctl.wiring import Ports


def plan(
    context: typer.Context,
    files: Files = [],  # noqa: B006  # typer copies it
    recursive: Recursive = False,
    applyset: ApplySet = None,
    prune: Prune = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Save the plan to this file; `activityctl apply FILE` applies it.", metavar="FILE"
        ),
    ] = None,
    against_events: Annotated[
        str | None,
        typer.Option(
            "--against-events",
            help="Also show which events of that age changed triggers match: 12h, 7d.",
            metavar="SPAN",
        ),
    ] = None,
    detailed_exitcode: Annotated[
        bool,
        typer.Option(
            "--detailed-exitcode", help="Exit 0 if nothing would change, 2 if something would."
        ),
    ] = False,
    output: Annotated[str, output_option("text", "json", "markdown")] = "text",
) -> None:
    """Show what apply would change: objects, fields, schedules and their next firings.

    Without -f, read the folder definitions/.

    activityctl plan -f definitions/ -o markdown

    activityctl plan -f definitions/ --out plan.json && activityctl apply plan.json

    activityctl plan -f definitions/ --against-events 7d
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json", "markdown"))
    paths = default_files(files)
    manifests = load_manifests(
        wiring.manifest_source(), paths, wiring.known_kinds(), recursive=recursive
    )
    wanted = wanted_of(manifests, applyset=applyset, prune=prune)
    age = _age(against_events)

    async def work(ports: Ports) -> Planned:
        planned = await plan_of_files(manifests, wanted, ports.catalog, ports.run_lists, now)
        if against_events is None or age is None:
            return planned
        with event_progress(session) as show:
            impact = await compare_with_events(
                ports.archive,
                planned.plan,
                planned.present,
                against_events,
                age,
                now(),
                on_read=show,
            )
        return replace(planned, view={**planned.view, "againstEvents": impact_view(impact)})

    planned = session.with_ports(work)
    match shape:
        case "json":
            print_json(session.out, planned.view)
        case "markdown":
            command = _command(paths, recursive=recursive, applyset=applyset, prune=prune)
            against = f" --against-events {against_events}" if against_events else ""
            session.out.file.write(markdown(planned.view, command + against))
        case _:
            print_plan(session.out, planned.view)
    if out is not None:
        try:
            out.write_text(save(planned, wanted), "utf-8")
        except OSError as error:
            raise RefusedError(f"could not save the plan: {error}") from error
        session.err.print(f"saved; to apply it: activityctl apply {out}")
    if detailed_exitcode and not planned.plan.is_empty:
        raise typer.Exit(2)


def _age(text: str | None) -> timedelta | None:
    if text is None:
        return None
    try:
        return parse_duration(text.removeprefix("-"))
    except ValueError as error:
        raise UsageError(f"--against-events: {error}") from None


def _command(paths: list[str], *, recursive: bool, applyset: str | None, prune: bool) -> str:
    """Return the command that shows this whole plan in a terminal."""
    words = ["activityctl", "plan"]
    for path in paths:
        words += ["-f", path]
    words += ["-R"] * recursive
    words += ["--applyset", applyset] if applyset else []
    return shlex.join([*words, *["--prune"] * prune])
