"""Expressions in the scripts of `command` tasks: refused in manifests, passed safely in old ones.

A script is what a shell or another interpreter reads as code: `shell`, and the argument after
`sh -c`, `python3 -c` and the like in `argv`, and the `stdin` of an interpreter without a file.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from activityctl.domain.bodies.interpreters import code_argument, input_is_code
from activityctl.domain.bodies.shell_text import ShellReader
from activityctl.domain.cel.expression import evaluate, has_expression, json_text, render
from activityctl.domain.cel.static_check import StaticScope, static_kinds
from activityctl.domain.cel.templates import TemplateExpression, template_parts
from activityctl.domain.values.finding import Finding, Path
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ExpressionError
from activityctl.frozen_dataclass import frozen_dataclass

COMMAND: Final = "command"
VARIABLE: Final = "ACTIVITYCTL_VALUE_"
"""The beginning of the variables that pass the values of old scripts."""
_HARMLESS: Final = frozenset({"int", "double", "bool"})
"""Kinds whose values cannot be code."""
_NAME: Final = re.compile(r"[A-Za-z_]\w*")


@frozen_dataclass
class Script:
    """A text in the body of a command that is read as code."""

    path: Path
    text: str
    is_shell: bool


def scripts_of(body: JsonValue) -> list[Script]:
    """Return the scripts in the body of a command."""
    if not isinstance(body, Mapping):
        return []
    found = []
    if isinstance(shell := body.get("shell"), str):
        found.append(Script(("shell",), shell, is_shell=True))
    if isinstance(argv := body.get("argv"), list):
        words = [str(word) for word in argv]
        if (code := code_argument(words)) is not None:
            index, is_shell = code
            found.append(Script(("argv", index), words[index], is_shell=is_shell))
        is_shell_input = input_is_code(words)
        if isinstance(text := body.get("stdin"), str) and is_shell_input is not None:
            found.append(Script(("stdin",), text, is_shell=is_shell_input))
    return found


def check_scripts(body: JsonValue, scope: StaticScope) -> Iterator[Finding]:
    """Yield each expression in a script, unless its value is always a number or a boolean."""
    if isinstance(body, str) and has_expression(body):
        yield Finding((), "write out argv or shell: a value must not choose the program")
    for script in scripts_of(body):
        for part in template_parts(script.text):
            if isinstance(part, TemplateExpression):
                kinds = static_kinds(part.source, scope)
                if not kinds or not kinds <= _HARMLESS:
                    begin = part.offset + len(part.source) - len(part.source.lstrip())
                    yield Finding(script.path, _reason(script, part.source), begin)


def _reason(script: Script, source: str) -> str:
    name = _variable_for(source)
    use = f'write "${name}" in the script' if script.is_shell else f"read {name} in the script"
    return (
        "a script cannot use ${ … }, because the value could run commands; "
        f'pass the value with env: {{{name}: "${{ {source.strip()} }}"}} and {use}'
    )


def _variable_for(source: str) -> str:
    """Return a name for the variable: the last name in the expression, in capitals."""
    names = _NAME.findall(source)
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", names[-1]) if names else "value"
    return snake.upper()


def render_command(body: JsonValue, scope: Mapping[str, Any]) -> JsonValue:
    """Render the body of a command; values in scripts are passed in variables, as single words.

    Definitions that were applied before `check_scripts` existed can have such values. Numbers and
    booleans stand in the script as they are. Raises ExpressionError where no safe way exists.
    """
    scripts = [script for script in scripts_of(body) if has_expression(script.text)]
    if not scripts:
        return render(body, scope)
    values: dict[str, JsonValue] = {}
    rendered = render(_without(body, [script.path for script in scripts]), scope)
    for script in scripts:
        _put(rendered, script.path, _safe_text(script, scope, values))
    env = rendered.get("env") or {}
    if not isinstance(env, Mapping):
        raise ExpressionError("env is not a map of variables")
    return {**rendered, "env": {**env, **values}}


def _safe_text(script: Script, scope: Mapping[str, Any], values: dict[str, JsonValue]) -> str:
    parts = template_parts(script.text)
    reader = ShellReader("\n".join(part for part in parts if isinstance(part, str)))
    texts = []
    for part in parts:
        if isinstance(part, TemplateExpression):
            texts.append(_safe_value(script, part.source, scope, reader, values))
        elif isinstance(part, str):
            reader.read(part)
            texts.append(part)
        else:
            render(script.text, scope)  # raises the error for an expression without an end
    return "".join(texts)


def _safe_value(
    script: Script,
    source: str,
    scope: Mapping[str, Any],
    reader: ShellReader,
    values: dict[str, JsonValue],
) -> str:
    value = evaluate(source, scope)
    if value is None or isinstance(value, bool | int | float):
        text = json_text(value)
        reader.literal(text)
        return text
    danger = reader.danger() if script.is_shell else "in code of another language"
    if danger is not None:
        raise ExpressionError(
            f"the value of ${{ {source.strip()} }} cannot be passed safely {danger}; "
            "pass it with env and apply the definition again"
        )
    name = f"{VARIABLE}{len(values) + 1}"
    values[name] = json_text(value)
    return reader.expansion(name)


def _without(body: JsonValue, paths: list[Path]) -> JsonValue:
    copy = {key: list(value) if key == "argv" else value for key, value in body.items()}
    for path in paths:
        _put(copy, path, "")
    return copy


def _put(body: JsonValue, path: Path, value: str) -> None:
    for part in path[:-1]:
        body = body[part]
    body[path[-1]] = value
