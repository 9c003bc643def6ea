"""What typer says of a wrong command line, as an error of ours with the next command."""

import typer
from typer.core import TyperArgument

from activityctl.cli.render.help_page import argument_name
from activityctl.errors import UsageError


def usage_error(error: typer.TyperException, path: str) -> UsageError:
    """Return the error as one plain line; the hint is the help of the command, else of `path`."""
    context = getattr(error, "ctx", None)
    text = _reason(error).strip().rstrip(".")
    if near := getattr(error, "possibilities", None):
        text += f"; did you mean {' or '.join(sorted(near))}?"
    shown = context.command_path if context else path
    return UsageError(text[:1].lower() + text[1:], hint=f"{shown} --help")


def _reason(error: typer.TyperException) -> str:
    param = getattr(error, "param", None)
    if param is None:
        found, meant, near = error.message.partition(". Did you mean ")
        return found + meant.replace(". D", "; d") + near.replace("', '", "' or '")
    label = argument_name(param) if isinstance(param, TyperArgument) else param.opts[-1]
    if not error.message:
        return f"{param.param_type_name} {label} is missing"
    # The parser's own words go on about strings and their parsing.
    reason = error.message.replace("Input should", "should").partition(", unable")[0]
    return f"{label}: {reason}"
