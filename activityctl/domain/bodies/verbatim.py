"""Fields whose text is code: the source of `code`, where `${ … }` is not ours, schemas, and SQL.

Values reach such code as inputs and parameters only. So an expression can never become code.
"""

from collections.abc import Mapping
from typing import Any, Final

from activityctl.domain.cel.expression import render
from activityctl.domain.cel.templates import has_expression
from activityctl.domain.values.finding import Finding
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ExpressionError

VERBATIM: Final[Mapping[str, frozenset[str]]] = {
    "ai": frozenset({"output"}),
    "code": frozenset({"javascript", "python"}),
}
"""By kind, the fields that are passed on as they stand."""
_CALLS: Final = frozenset(
    {"autosign", "executorAddress", "fields", "plugin", "policy", "registryID", "relay"}
)
WRITTEN_OUT: Final[Mapping[str, frozenset[str]]] = {
    "code": frozenset(),
    "python": frozenset({"strategy", *_CALLS}),
    "sql": frozenset({"connection", "statement", "statements"}),
    "webhook": frozenset({"baseURL", "hmacKey", *_CALLS}),
}
"""By kind, the fields in whose texts there may be no expression."""
_CHOSEN: Final = "write out the fields: a value must not choose what runs"
_IN_STATEMENT: Final = (
    "a statement cannot use ${ … }, because the value could be SQL; write :name in the statement "
    "and pass the value with parameters"
)


def with_expressions(kind: str, body: JsonValue) -> JsonValue:
    """Return the part of a body in which `${ … }` is an expression."""
    if not isinstance(body, Mapping):
        return body
    return {name: value for name, value in body.items() if name not in VERBATIM.get(kind, ())}


def check_verbatim(kind: str, body: JsonValue) -> list[Finding]:
    """Return a finding for each expression that would choose what runs."""
    if kind not in WRITTEN_OUT:
        return []
    if not isinstance(body, Mapping):
        return [Finding((), _CHOSEN)] if isinstance(body, str) and has_expression(body) else []
    return [
        finding.under(name)
        for name in sorted(WRITTEN_OUT[kind] & body.keys())
        for finding in _in_code(body[name], name)
    ]


def _in_code(value: JsonValue, name: str) -> list[Finding]:
    match value:
        case str() if has_expression(value):
            return [Finding((), _IN_STATEMENT if name == "statement" else _CHOSEN)]
        case list():
            items = enumerate(value)
            return [found.under(index) for index, item in items for found in _in_code(item, name)]
        case Mapping() if name == "statements":
            return _in_code(value.get("statement"), "statement") and [
                Finding(("statement",), _IN_STATEMENT)
            ]
        case Mapping() if name == "policy":
            fields = value.items()
            return [found.under(key) for key, item in fields for found in _in_code(item, name)]
        case _:
            return []


def render_body(kind: str, body: JsonValue, scope: Mapping[str, Any]) -> JsonValue:
    """Render a body without the fields that are passed on as they stand."""
    for finding in check_verbatim(kind, body):
        path = ".".join(map(str, (kind, *finding.path)))
        raise ExpressionError(f"{path}: {finding.reason}")
    rendered = render(with_expressions(kind, body), scope)
    if not isinstance(body, Mapping):
        return rendered
    kept = {name: value for name, value in body.items() if name in VERBATIM.get(kind, ())}
    return {**rendered, **kept}
