"""Ask a person on a terminal how to complete a task: the fields of its form, one by one."""

import json
import sys

from activityctl.cli.render.output import age
from activityctl.domain.runs.run import TaskInstance, address_of
from activityctl.domain.runs.waiting import assignee_of
from activityctl.domain.tasks.form import FormField, form_fields, shown_value
from activityctl.domain.values.json_form import format_timestamp
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.untrusted import escape_controls
from activityctl.errors import InvalidInputError, RefusedError
from activityctl.operations.runs.complete import checked_output, field_problems, form_of

_NOTHING = "nothing was recorded; the task still waits"


def ask_for_output(task: TaskInstance) -> JsonValue:
    """Ask for each field of the task's form until all fit, and return the confirmed output.

    The questions go to stderr. RefusedError at the end of the input, and if the person says no.
    """
    _introduce(task)
    while True:
        fields = form_fields(form_of(task))
        output = _ask_fields(task, fields) if fields else _ask_whole()
        try:
            output = checked_output(task, output)
        except InvalidInputError as error:
            _say(f"\n! {error.message}\nOnce more:")
            continue
        _confirm(output)
        return output


def _introduce(task: TaskInstance) -> None:
    due = f", due {age(format_timestamp(task.waits_until))}" if task.waits_until else ""
    whom = assignee_of(task) or "a person"
    _say(f"Task {address_of(task)} of run {task.run_id[:8]} waits for {whom}{due}.")
    instructions = task.input.get("instructions") if isinstance(task.input, dict) else None
    if instructions:
        _say(f"\n{instructions}")


def _ask_fields(task: TaskInstance, fields: list[FormField]) -> JsonValue:
    answer = {}
    for field in fields:
        _explain(field)
        value = _ask_field(task, field)
        if value is not None:
            (answer[field.name],) = value
    return answer


def _explain(field: FormField) -> None:
    wanted = "one of these" if field.choices else field.hint
    _say(f"\n{field.name} ({wanted}{'' if field.is_required else '; may be left out'})")
    if field.description:
        _say(f"  {field.description}")
    for number, choice in enumerate(field.choices, 1):
        _say(f"  {number}) {shown_value(choice)}")


def _ask_field(task: TaskInstance, field: FormField) -> tuple[JsonValue] | None:
    """Return the value of a field in a tuple; None if the person leaves it out."""
    default = f" [{shown_value(field.schema['default'])}]" if field.has_default else ""
    while True:
        text = _line(f"  {field.name}{default}: ")
        if not text and field.has_default:
            return (field.schema["default"],)
        if not text and not field.is_required:
            return None
        try:
            value = field.read(text)
            problems = field_problems(form_of(task), field.name, value)
        except ValueError as error:
            problems = [str(error)]
        if text and not problems:
            return (value,)
        _say(f"  ! {'; '.join(problems) if text else 'a value is needed'}")


def _ask_whole() -> JsonValue:
    """Ask for the output of a task without a form."""
    _say("\noutput (JSON or text; may be left out)")
    text = _line("  output: ")
    return FormField("output", {}, is_required=False).read(text) if text else None


def _confirm(output: JsonValue) -> None:
    _say(f"\n{json.dumps(output, ensure_ascii=False)}")
    if _line("Complete the task with this output? [Y/n]: ").lower() not in {"", "y", "yes"}:
        raise RefusedError(_NOTHING)


def _line(question: str) -> str:
    sys.stderr.write(escape_controls(question))
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        sys.stderr.write("\n")
        raise RefusedError(_NOTHING)
    return line.strip()


def _say(text: str) -> None:
    sys.stderr.write(escape_controls(text) + "\n")
    sys.stderr.flush()
