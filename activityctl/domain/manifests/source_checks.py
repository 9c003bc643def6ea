"""Checks of expressions that a body has as plain CEL: pages of http, filters of events."""

from collections.abc import Iterator, Mapping
from typing import Final

from activityctl.domain.bodies.call_choices import HTTP
from activityctl.domain.cel.expression import has_expression
from activityctl.domain.cel.static_check import CONDITION, StaticScope, check_meaning
from activityctl.domain.cel.static_type import ANY_TYPE, CelKinds, closed_map, type_of_kind
from activityctl.domain.values.finding import Finding, Path
from activityctl.domain.values.model import JsonValue, Kinded

EVENTS: Final = "events"
RESPONSE: Final = closed_map(
    {
        "status": type_of_kind("int"),
        "headers": type_of_kind("map"),
        "json": ANY_TYPE,
        "body": type_of_kind("string", "null"),
        "page": type_of_kind("int"),
        "links": type_of_kind("map"),
    }
)
"""What the expressions of `paginate` read as `response`."""
_NEXT: Final[CelKinds] = frozenset({"string", "map", "null"})
_ANY: Final[CelKinds] = frozenset()
_PLAIN: Final = "write the expression without ${ … }; it is evaluated later"


def check_plain_expressions(item: Kinded, scope: StaticScope) -> Iterator[Finding]:
    """Yield what is wrong with the plain CEL expressions in the body of a task or source."""
    extra = item.model_extra or {}
    http, events = extra.get(HTTP), extra.get(EVENTS)
    if isinstance(http, Mapping) and isinstance(paging := http.get("paginate"), Mapping):
        pages = {"response": RESPONSE}
        yield from _check(paging.get("next"), pages, _NEXT, (HTTP, "paginate", "next"))
        yield from _check(paging.get("items"), pages, _ANY, (HTTP, "paginate", "items"))
    if isinstance(events, Mapping):
        known = {**scope, "event": ANY_TYPE}
        yield from _check(events.get("filter"), known, CONDITION, (EVENTS, "filter"))


def _check(
    source: JsonValue, scope: StaticScope, wanted: CelKinds, path: Path
) -> Iterator[Finding]:
    if not isinstance(source, str):
        return
    if has_expression(source):
        yield Finding(path, _PLAIN)
        return
    for problem in check_meaning(source, scope, wanted):
        yield Finding(path, problem.reason, problem.offset)
