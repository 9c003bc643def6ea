"""Finds the parameters of an SQL statement, `:name`; does not understand the statement.

Texts, quoted names, comments, casts (`::date`) and slices (`[1:n]`) have none.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from activityctl.frozen_dataclass import frozen_dataclass

IDEMPOTENCY_KEY: Final = "idempotency_key"
"""A parameter that every statement has: the same for each attempt of a task instance."""
_TOKEN: Final = re.compile(
    r"""
      [eE]'(?:\\.|''|[^'\\])*'
    | '(?:''|[^'])*'
    | "(?:""|[^"])*"
    | `[^`]*`
    | --[^\n]*
    | /\*.*?\*/
    | (?P<dollar>\$(?:[A-Za-z_]\w*)?\$).*?(?P=dollar)
    | ::
    | :=
    | \w+(?::(?![:=])\w*)?
    | :(?P<name>[A-Za-z_]\w*)
    | .
    """,
    re.DOTALL | re.VERBOSE,
)

_READS: Final = re.compile(
    r"(?is)(?:\s|--[^\n]*\n|/\*.*?\*/|\()*(select|values|table|show|explain)\b"
)
_WITH: Final = re.compile(r"(?is)(?:\s|--[^\n]*\n|/\*.*?\*/)*with\b")
_CHANGES: Final = re.compile(r"(?i)\b(insert|update|delete|merge)\b")
_RETURNS: Final = re.compile(r"(?i)\breturning\b")


@frozen_dataclass
class Parameter:
    """A place of a statement where a value is bound."""

    name: str


@lru_cache(maxsize=256)
def sql_parts(statement: str) -> tuple[str | Parameter, ...]:
    """Return the texts and parameters of a statement in order."""
    parts: list[str | Parameter] = []
    text = ""
    for token in _TOKEN.finditer(statement):
        if token["name"] is None:
            text += token[0]
            continue
        parts += [text] if text else []
        parts.append(Parameter(token["name"]))
        text = ""
    return (*parts, text) if text else tuple(parts)


def parameter_names(statement: str) -> list[str]:
    """Return the names of its parameters, each once, in order."""
    found = [part.name for part in sql_parts(statement) if isinstance(part, Parameter)]
    return list(dict.fromkeys(found))


def missing_parameters(statement: str, given: Mapping[str, object]) -> list[str]:
    """Return the parameters that have no value."""
    return [name for name in parameter_names(statement) if name not in {*given, IDEMPOTENCY_KEY}]


def unused_parameters(statement: str, given: Mapping[str, object]) -> list[str]:
    """Return the values that the statement does not use."""
    used = set(parameter_names(statement))
    return [name for name in given if name not in used]


def returns_rows(statement: str) -> bool:
    """Return whether a statement returns rows, as far as its words tell."""
    if _READS.match(statement) or _RETURNS.search(statement):
        return True
    return bool(_WITH.match(statement)) and not _CHANGES.search(statement)


def changes_rows(statement: str) -> bool:
    """Return whether a word of the statement may change rows."""
    return _CHANGES.search(statement) is not None
