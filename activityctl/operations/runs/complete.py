"""Complete a task that waits for a person."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from activityctl.domain.manifests.param_defaults import fill_defaults
from activityctl.domain.manifests.params import check_params, check_schema
from activityctl.domain.runs.ambiguous import ambiguous_task
from activityctl.domain.runs.run import TaskInstance, TaskStatus, address_of
from activityctl.domain.runs.waiting import Answer
from activityctl.domain.tasks.manual import MANUAL
from activityctl.domain.values.finding import Finding
from activityctl.domain.values.json_form import format_timestamp
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.selection import Selection
from activityctl.errors import (
    CANDIDATES_TOLD,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
)
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.looking.kinds import name_of
from activityctl.ports import GivenAnswer, RunLists, Waits

_LIST: Final = "activityctl get tasks --status waiting"


@frozen_dataclass
class Completion:
    """A task that was completed, now or before by the same answer."""

    task: TaskInstance
    given: GivenAnswer


async def find_task(lists: RunLists, reference: str) -> TaskInstance:
    """Return the task with this id or unique beginning of an id, or `RUN/NAME`.

    `RUN/NAME[2]` is one item of a forEach. Raises NotFoundError if there is none, ConflictError
    if several have that beginning.
    """
    name = name_of(reference, "tasks", "runs")
    if "/" in name:
        run_reference, _, label = name.partition("/")
        run = await lists.find_run(run_reference)
        tasks = await lists.tasks(Selection(run_id=run.id, limit=None))
        return _labelled(tasks, label, run.id)
    found = await lists.tasks(Selection(name=name, limit=CANDIDATES_TOLD + 1)) if name else []
    exact = [task for task in found if task.id == name]
    if not found:
        raise NotFoundError("task", reference, hint=_LIST)
    if len(found) > 1 and not exact:
        raise ambiguous_task(reference, found)
    return (exact or found)[0]


def require_waiting(task: TaskInstance) -> None:
    """Raise unless the task waits for a person; an answer on record may be repeated."""
    if task.kind != MANUAL:
        raise RefusedError(
            f"task {address_of(task)} is of the kind {task.kind}; only manual tasks wait for a "
            "person",
            hint=_LIST,
        )
    if task.status is TaskStatus.PENDING:
        raise RefusedError(f"task {address_of(task)} does not wait yet", hint=_LIST)


def form_of(task: TaskInstance) -> Mapping[str, Any]:
    """Return the JSON Schema of the task's output; empty if any output fits."""
    form = task.input.get("form") if isinstance(task.input, Mapping) else None
    return form if isinstance(form, Mapping) else {}


def checked_output(task: TaskInstance, output: JsonValue) -> JsonValue:
    """Return the output with the defaults of the form; raise InvalidInputError if it does not fit.

    The error has every reason, each with the path of its field.
    """
    form = form_of(task)
    if not form:
        return output
    if problems := check_schema(form):
        raise InvalidInputError(f"the form of task {address_of(task)} {problems[0].reason}")
    if isinstance(output, Mapping):
        output = fill_defaults(form, output)
    if findings := check_params(form, output):
        raise InvalidInputError(
            f"the output does not fit the form of task {address_of(task)}: "
            + "; ".join(map(_finding_text, findings)),
            hint=f"activityctl describe task {task.id}",
        )
    return output


def field_problems(form: Mapping[str, Any], name: str, value: JsonValue) -> list[str]:
    """Return why a value does not fit one field of the form; empty if it does."""
    shared = {key: form[key] for key in ("$defs", "definitions") if key in form}
    alone = {**shared, "properties": {name: form["properties"][name]}}
    findings = check_params(alone, {name: value})
    return [_finding_text(replace(finding, path=finding.path[1:])) for finding in findings]


def _finding_text(finding: Finding) -> str:
    path = ".".join(map(str, finding.path))
    return f"{path}: {finding.reason}" if path else finding.reason


async def complete(waits: Waits, task: TaskInstance, answer: Answer) -> Completion:
    """Record the answer; the worker carries the run on.

    The same answer twice is no error. Raises ConflictError if the task has another answer or has
    ended without one, InvalidInputError if the output does not fit its form.
    """
    if answer.error is None:
        output = checked_output(task, answer.output)
        answer = Answer(output, None, answer.by)
    given = await waits.answer(task.id, answer)
    if given is None:
        raise _ended(task)
    same = (given.answer.output, given.answer.error) == (answer.output, answer.error)
    if not given.is_new and not same:
        who = given.answer.by or "somebody"
        raise ConflictError(
            f"task {address_of(task)} was completed by {who} at {format_timestamp(given.at)} with "
            "another answer, which counts",
            hint=f"activityctl describe task {task.id}",
        )
    return Completion(task, given)


def _ended(task: TaskInstance) -> ConflictError:
    reason = task.error or task.reason or "its run ends"
    state = f"has ended as {task.status}" if task.has_ended else "waits no more"
    return ConflictError(
        f"task {address_of(task)} {state}: {reason}", hint=f"activityctl describe task {task.id}"
    )


def _labelled(tasks: list[TaskInstance], label: str, run_id: str) -> TaskInstance:
    """Return the task of that address; a task with rounds or items is no task by itself."""
    single = [task for task in tasks if not task.is_container]
    found = [task for task in single if address_of(task) == label]
    if not found:
        items = [task for task in single if task.name == label]
        if items:
            raise ConflictError(
                f"task {label} has {len(items)} instances",
                hint=f"name one, such as {run_id[:8]}/{address_of(items[-1])}",
            )
        raise NotFoundError("task", label, hint=f"activityctl get tasks --run {run_id}")
    return found[0]
