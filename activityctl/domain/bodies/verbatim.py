"""Fields whose text is passed on as it stands: in the source of `code`, `${ … }` is not ours.

Values reach such code as inputs only. So an expression can never become code.
"""

from collections.abc import Mapping
from typing import Any, Final

from activityctl.domain.cel.expression import render
from activityctl.domain.cel.templates import has_expression
from activityctl.domain.values.finding import Finding
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ExpressionError

VERBATIM: Final[Mapping[str, frozenset[str]]] = {"code": frozenset({"javascript", "python"})}
"""By kind, the fields that are passed on as they stand."""
_CHOSEN: Final = "write out the fields of code: a value must not choose what runs"


def with_expressions(kind: str, body: JsonValue) -> JsonValue:
    """Return the part of a body in which `${ … }` is an expression."""
    if not isinstance(body, Mapping):
        return body
    return {name: value for name, value in body.items() if name not in VERBATIM.get(kind, ())}


def check_verbatim(kind: str, body: JsonValue) -> list[Finding]:
    """Return a finding if an expression would choose the whole body of such a kind."""
    if kind in VERBATIM and isinstance(body, str) and has_expression(body):
        return [Finding((), _CHOSEN)]
    return []


def render_body(kind: str, body: JsonValue, scope: Mapping[str, Any]) -> JsonValue:
    """Render a body without the fields that are passed on as they stand."""
    if check_verbatim(kind, body):
        raise ExpressionError(_CHOSEN)
    rendered = render(with_expressions(kind, body), scope)
    if not isinstance(body, Mapping):
        return rendered
    kept = {name: value for name, value in body.items() if name in VERBATIM.get(kind, ())}
    return {**rendered, **kept}
