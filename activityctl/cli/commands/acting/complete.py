"""`activityctl complete`: complete a task that waits for a person."""

import sys
from typing import Annotated

import typer

from activityctl.cli.form import ask_for_output
from activityctl.cli.session import Session
from activityctl.domain.runs.run import TaskInstance
from activityctl.domain.runs.waiting import Answer
from activityctl.domain.values.json_form import format_timestamp
from activityctl.domain.values.model import JsonValue
from activityctl.errors import UsageError
from activityctl.operations.runs.complete import Completion, find_task, require_waiting
from activityctl.operations.runs.complete import complete as record_answer
from activityctl.wiring import Ports

_NOTHING = "nothing was recorded; the task still waits"


def complete(
    context: typer.Context,
    task: Annotated[
        str,
        typer.Argument(
            metavar="TASK",
            help="The task's id or the first characters of it, or RUN/NAME, such as 3f2a/review.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            help="The task's output as JSON; - reads it from standard input. Without it, a "
            "terminal asks for each field.",
            metavar="JSON",
        ),
    ] = None,
    fail: Annotated[
        str | None,
        typer.Option(help="Let the task fail, for this reason.", metavar="REASON"),
    ] = None,
) -> None:
    """Complete a task that waits for a person; exit 5 if it was completed in another way.

    activityctl complete 3f2a

    activityctl complete 3f2a/review --output '{"verdict": "approve"}'

    activityctl complete 3f2a --fail "the customer did not answer"
    """
    session: Session = context.obj
    if output is not None and fail is not None:
        raise UsageError("--output and --fail cannot be combined", hint="give one of them")
    if fail is not None and not fail.strip():
        raise UsageError("--fail is empty", hint="say why the task fails")
    given = None if output is None else _parsed(output)
    session.set_interrupt_message(_NOTHING, hint="activityctl get tasks --status waiting")
    found = session.with_ports(lambda ports: find_task(ports.run_lists, task))
    require_waiting(found)
    if output is None and fail is None:
        given = _asked(found)
    answer = Answer(given, fail, session.origin.actor)

    async def work(ports: Ports) -> tuple[Completion, bool]:
        return await record_answer(ports.waits, found, answer), bool(await ports.workers.alive())

    done, has_worker = session.with_ports(work)
    _report(session, done, has_worker=has_worker)


def _asked(task: TaskInstance) -> JsonValue:
    if not sys.stdin.isatty():
        raise UsageError(
            "no answer is given", hint="add --output JSON or --fail REASON, or use a terminal"
        )
    return ask_for_output(task)


def _parsed(text: str) -> JsonValue:
    from activityctl.wiring import parse_json, read_event_data

    source = read_event_data("-").decode("utf-8", "replace") if text == "-" else text
    return parse_json(source, "--output", example="""write '{"verdict": "approve"}'""")


def _report(session: Session, done: Completion, *, has_worker: bool) -> None:
    given = done.given
    how = "failed" if given.answer.error is not None else "completed"
    if not given.is_new:
        who = given.answer.by or "somebody"
        session.err.print(
            f"it was already {how} in the same way, by {who} at {format_timestamp(given.at)}"
        )
    elif not has_worker:
        session.err.print("no worker is running; the run goes on when a worker starts")
    session.out.print(f"task/{done.task.id} {how}")
