"""Checks the expressions of an event source, as far as that is possible without a request."""

from typing import Final

from activityctl.domain.cel.expression import TemplateProblem
from activityctl.domain.cel.static_check import (
    CONDITION,
    LIST,
    StaticScope,
    check_meaning,
    check_template_meaning,
)
from activityctl.domain.cel.static_type import ANY_TYPE, closed_map, type_of_kind
from activityctl.domain.cel.templates import has_expression
from activityctl.domain.events.envelope import check_attribute
from activityctl.domain.sources.spec import EventSourceSpec
from activityctl.domain.values.finding import Finding, Path
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.secret_ref import refs_in
from activityctl.errors import InvalidEventError

_TEXT: Final = type_of_kind("string")
_MAP: Final = type_of_kind("map")
REQUEST: Final = closed_map(
    {"method": _TEXT, "path": _TEXT, "query": _MAP, "headers": _MAP, "body": ANY_TYPE}
)
_REQUEST_ALONE: Final[StaticScope] = {"request": REQUEST}
_WITH_ITEM: Final[StaticScope] = {"request": REQUEST, "item": ANY_TYPE}
_STORED: Final = "a secret cannot be used here, because this value is stored or sent"


def check_source(spec: EventSourceSpec) -> list[Finding]:
    """Return what is wrong with the expressions of an event source, by path in its spec."""
    findings = []
    if spec.when is not None:
        findings += _condition(spec.when, ("when",))
    for index, challenge in enumerate(spec.challenges):
        findings += _condition(challenge.when, ("challenges", index, "when"))
        findings += _template(challenge.answer, ("challenges", index, "answer"), _REQUEST_ALONE)
    mapping = spec.event
    scope = _REQUEST_ALONE if mapping.for_each is None else _WITH_ITEM
    if mapping.for_each is not None:
        findings += _list(mapping.for_each)
    for name in ("id", "source", "type", "subject", "time"):
        if (text := getattr(mapping, name)) is not None:
            findings += _attribute(name, text, scope)
    return findings + _template(mapping.data, ("event", "data"), scope)


def _condition(source: str, path: Path) -> list[Finding]:
    problems = check_meaning(source, _REQUEST_ALONE, CONDITION)
    return [Finding(path, problem.reason, problem.offset) for problem in problems]


def _list(text: str) -> list[Finding]:
    path: Path = ("event", "forEach")
    if not has_expression(text):
        return [Finding(path, "should be a list of the request, such as ${ request.body.events }")]
    problems = check_template_meaning(text, _REQUEST_ALONE, lambda _: LIST)
    return _located(problems, path)


def _template(template: JsonValue, path: Path, scope: StaticScope) -> list[Finding]:
    found = [Finding((*path, *inner), _STORED) for inner, _ in refs_in(template)]
    return found + _located(check_template_meaning(template, scope), path)


def _attribute(name: str, text: str, scope: StaticScope) -> list[Finding]:
    """Check the expressions of an attribute, or the text itself if it has none."""
    path: Path = ("event", name)
    if has_expression(text):
        return _located(check_template_meaning(text, scope), path)
    if name == "id":
        return [Finding(path, "would be the same for every event; write an expression in ${ … }")]
    try:
        check_attribute(name, text)
    except InvalidEventError as error:
        return [Finding(path, error.reason)]
    return []


def _located(problems: list[TemplateProblem], path: Path) -> list[Finding]:
    return [
        Finding((*path, *problem.path), problem.reason, problem.offset, problem.at_key)
        for problem in problems
    ]
