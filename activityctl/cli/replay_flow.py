"""Replay runs: plan, list what is called, ask, store the wish, wait, tell the outcome."""

import re
import uuid
from collections.abc import Sequence
from typing import Final

import typer

from activityctl.cli.confirm import require_yes
from activityctl.cli.many import many_progress
from activityctl.cli.render.outcome_text import print_outcomes_of_replay
from activityctl.cli.render.output import print_json, print_run_end
from activityctl.cli.render.progress import progress_bar
from activityctl.cli.render.rehearsal_text import (
    called_text,
    print_planned,
    print_planned_list,
)
from activityctl.cli.session import Session
from activityctl.cli.verbs.redo import redo_of
from activityctl.cli.wait_for_many import Waited, wait_for_many
from activityctl.domain.runs.json_form import run_view
from activityctl.domain.runs.replay_request import ReplayOutcome, ReplayRequest
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.values.choice import Choice
from activityctl.domain.values.ids import RunId
from activityctl.domain.values.json_form import View
from activityctl.domain.values.model import NAME_PATTERN
from activityctl.domain.values.time_range import parse_seconds
from activityctl.domain.values.untrusted import escape_line
from activityctl.errors import ConflictError, UsageError
from activityctl.operations.runs.many import counts_text
from activityctl.operations.runs.replay_runs import choose_replayed
from activityctl.wiring import Ports

_GOOD = frozenset({RunStatus.SUCCEEDED, RunStatus.SKIPPED})
_MOST_WHOLE: Final = 3
"""More runs are listed in one line each."""
_MANY: Final = 20


def named(name: str | None) -> str:
    """Return the name of a replay, or one that nobody else has; UsageError if it is no name."""
    if name is None:
        return uuid.uuid4().hex[:12]
    if re.fullmatch(NAME_PATTERN, name) is None:
        raise UsageError(
            f"--id {name!r} is no name", hint="use lower-case letters, digits and hyphens"
        )
    return name


def plan_replays(session: Session, choice: Choice, request: ReplayRequest) -> list[View]:
    """Return what the replays of these runs would do.

    A run that cannot be replayed is left out with a message if a filter has selected it.
    """
    session.set_interrupt_message("nothing was started")

    def tell_left_out(run_id: str, reason: str) -> None:
        session.err.print(f"run/{run_id} is left out: {escape_line(reason)}")

    async def work(ports: Ports) -> list[View]:
        chosen = await choose_replayed(ports.catalog, ports.run_lists, choice, request)
        on_left_out = None if choice.is_by_name else tell_left_out
        with progress_bar(session, "runs planned", _MANY) as show:
            return await redo_of(ports).plan_replays(chosen, request, show, on_left_out)

    return session.with_ports(work)


def print_plans(session: Session, views: Sequence[View], shape: str, *, dry_run: bool) -> None:
    """Print what each replay would do: to stdout in a dry run, else to stderr."""
    if shape == "json":
        print_json(session.out, {"items": list(views)})
        return
    if shape == "name":
        for view in views:
            session.out.print(f"run/{view['replayOf']}")
        return
    console = session.out if dry_run else session.err
    if len(views) > _MOST_WHOLE:
        print_planned_list(console, views, whole=dry_run)
        return
    for index, view in enumerate(views):
        if index:
            console.print()
        print_planned(console, view, dry_run=dry_run)


def confirm(session: Session, views: Sequence[View], *, yes: bool, is_selected: bool) -> None:
    """List what is called; ask, unless nothing is called or the answer is given.

    What a filter has selected is asked for in any case.
    """
    print_plans(session, views, "text", dry_run=False)
    if (is_selected or _calls_something(views)) and not yes:
        question = f"Replay {_runs(views)}: {called_text(views)}?"
        require_yes(f"to replay {_runs(views)}", question)


def _calls_something(views: Sequence[View]) -> bool:
    tasks = [task for view in views for task in view["tasks"]]
    return any(task["isCalled"] or task["now"] == "undecided" for task in tasks)


def _runs(views: Sequence[View]) -> str:
    if len(views) == 1:
        return f"run {views[0]['replayOf'][:8]}"
    return f"{len(views):,} runs"


def carry_out(
    session: Session,
    planned: Sequence[View],
    request: ReplayRequest,
    wait: bool | None,  # an option of the command
    timeout: str,
) -> tuple[list[ReplayOutcome], Waited]:
    """Store the replays and wait for the new runs; return the outcomes, and what has ended.

    ConflictError if the only run that was named cannot be replayed.
    """
    run_ids = [RunId(each["replayOf"]) for each in planned]
    seconds = parse_seconds(timeout)
    hint = "activityctl get runs"
    session.set_interrupt_message("it is not known which replays are recorded", hint=hint)

    async def work(ports: Ports) -> list[ReplayOutcome]:
        with many_progress(session, "runs", "replayed", hint) as show:
            return await redo_of(ports).replay(run_ids, request, show)

    outcomes = session.with_ports(work)
    if len(outcomes) == 1 and outcomes[0].run_id is None:
        raise ConflictError(f"run {run_ids[0]} cannot be replayed: it is {outcomes[0].outcome}")
    new = [each.run_id for each in outcomes if each.run_id is not None]
    recorded = "the replays are recorded"
    return outcomes, wait_for_many(session, new, wait, seconds, recorded=recorded, hint=hint)


def print_results(
    session: Session,
    outcomes: Sequence[ReplayOutcome],
    waited: Waited,
    shape: str,
    *,
    diff: bool,
) -> None:
    """Tell the new runs and how they ended; exit 1 if one of them failed.

    WaitTimeoutError if some have not ended in time.
    """
    by_id: dict[str, Run] = {run.id: run for run in waited.ended}
    diffs = _diffs(session, [each for each in outcomes if each.run_id in by_id]) if diff else {}
    if shape == "json":
        items = [_view(each, by_id, diffs) for each in outcomes]
        print_json(session.out, {"items": items})
    is_counted = shape == "text" and not diff and len(outcomes) > _MOST_WHOLE
    if is_counted:
        session.out.print(f"runs: {counts_text([each.outcome for each in outcomes])}")
        if waited.ended:
            ends = counts_text([run.status.value for run in waited.ended])
            session.out.print(f"new runs: {ends}")
    for each in outcomes if shape != "json" and not is_counted else ():
        if each.run_id is None:
            session.err.print(f"run/{each.replay_of} is not replayed: it is {each.outcome}")
        elif shape == "text" and each.run_id in diffs:
            print_outcomes_of_replay(session.out, diffs[each.run_id])
        elif shape == "text" and each.run_id in by_id:
            print_run_end(session.out, run_view(by_id[each.run_id]))
        else:
            session.out.print(f"run/{each.run_id}")
        if each.outcome == "repeated":
            session.err.print(f"run/{each.replay_of} was replayed under this name before")
    waited.require_all()
    if any(run.status not in _GOOD for run in waited.ended):
        raise typer.Exit(1)


def _diffs(session: Session, outcomes: Sequence[ReplayOutcome]) -> dict[str, View]:
    async def work(ports: Ports) -> dict[str, View]:
        return {
            each.run_id: await redo_of(ports).outcome_diff(each.replay_of, each.run_id)
            for each in outcomes
            if each.run_id is not None
        }

    return session.with_ports(work)


def _view(outcome: ReplayOutcome, by_id: dict[str, Run], diffs: dict[str, View]) -> View:
    key = outcome.run_id or ""
    run = run_view(by_id[key]) if key in by_id else {"id": outcome.run_id, "status": "queued"}
    more = {"diff": diffs[key]} if key in diffs else {}
    if outcome.run_id is None:
        run = {"id": None, "status": None}
    return {**run, "replayOf": outcome.replay_of, "outcome": outcome.outcome, **more}
