"""Scopes: what a token may do, and to which objects."""

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from activityctl.errors import UsageError
from activityctl.frozen_dataclass import frozen_dataclass

_LONGEST: Final = 500
_MOST_STARS: Final = 8
_HINT: Final = (
    "write read, admin, emit:type=order.*,source=/shop, apply:set=payments, "
    "operate:subscription=eu-* or operate:label=team=payments"
)


class Action(StrEnum):
    """What a scope allows."""

    READ = "read"
    """Read objects, runs and logs."""
    EMIT = "emit"
    """Store events."""
    APPLY = "apply"
    """Change definitions, subscriptions and calendars."""
    OPERATE = "operate"
    """Trigger, cancel, pause and more, and read what belongs to the same subscriptions."""
    ADMIN = "admin"
    """Everything."""


_CONDITIONS: Final[Mapping[Action, frozenset[str]]] = {
    Action.READ: frozenset(),
    Action.EMIT: frozenset({"type", "source"}),
    Action.APPLY: frozenset({"set"}),
    Action.OPERATE: frozenset({"subscription", "label"}),
    Action.ADMIN: frozenset(),
}


@frozen_dataclass
class Scope:
    """One action, on the objects for which all conditions hold."""

    action: Action
    conditions: tuple[tuple[str, str], ...] = ()
    """Names and patterns, in which `*` stands for any characters."""

    def __str__(self) -> str:
        """Return the text that `parse_scope` reads."""
        written = ",".join(f"{name}={pattern}" for name, pattern in self.conditions)
        return f"{self.action}:{written}" if written else str(self.action)

    def fits(self, facts: Mapping[str, Sequence[str]]) -> bool:
        """Return whether each condition holds for one of the facts of its name."""
        return all(
            any(matches(pattern, fact) for fact in facts.get(name, ()))
            for name, pattern in self.conditions
        )


def parse_scope(text: str) -> Scope:
    """Return the scope of `ACTION` or `ACTION:NAME=PATTERN,...`; UsageError for another text."""
    word, colon, rest = text.partition(":")
    action = next((action for action in Action if action == word), None)
    if action is None or len(text) > _LONGEST:
        raise UsageError(f"{text[:60]!r} is not a scope", hint=_HINT)
    conditions = []
    for part in rest.split(",") if colon else ():
        name, equals, pattern = part.partition("=")
        if not equals or not pattern or name not in _CONDITIONS[action]:
            raise UsageError(f"{text!r}: {part!r} is no condition of {action}", hint=_HINT)
        if name == "label" and not pattern.partition("=")[2]:
            raise UsageError(f"{text!r}: a label is KEY=VALUE", hint=_HINT)
        if pattern.count("*") > _MOST_STARS:
            raise UsageError(f"{text!r}: more than {_MOST_STARS} times *", hint=_HINT)
        conditions.append((name, pattern))
    return Scope(action, tuple(conditions))


def matches(pattern: str, text: str) -> bool:
    """Return whether a text fits a pattern, in which `*` stands for any characters."""
    parts = map(re.escape, pattern.split("*"))
    return re.fullmatch(".*".join(parts), text, re.DOTALL) is not None
