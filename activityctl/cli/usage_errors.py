"""Turn typer's error about the command line into a UsageError with a hint."""

import typer
from typer.core import TyperArgument

from activityctl.cli.render.help_page import argument_name
from activityctl.errors import UsageError


def usage_error(error: typer.TyperException, path: str) -> UsageError:
    """Return the error as one line; the hint is the help of its command, else of `path`."""
    context = getattr(error, "ctx", None)
    text = _reason(error).strip().rstrip(".")
    if near := getattr(error, "possibilities", None):
        text += f"; did you mean {' or '.join(sorted(near))}?"
    command = context.command_path if context else path
    return UsageError(text[:1].lower() + text[1:], hint=f"{command} --help")


def _reason(error: typer.TyperException) -> str:
    param = getattr(error, "param", None)
    if param is None:
        message, question, near = error.message.partition(". Did you mean ")
        return message + question.replace(". D", "; d") + near.replace("', '", "' or '")
    label = argument_name(param) if isinstance(param, TyperArgument) else param.opts[-1]
    if not error.message:
        return f"{param.param_type_name} {label} is missing"
    # Leave out what pydantic adds about parsing strings; a user does not need it.
    reason = error.message.replace("Input should", "should").partition(", unable")[0]
    return f"{label}: {reason}"
