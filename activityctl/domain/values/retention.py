"""Retention: how long finished things are kept, for each kind, by age and by number."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final, Literal, cast, get_args

from activityctl.domain.values.duration import format_duration, parse_duration
from activityctl.errors import UsageError
from activityctl.frozen_dataclass import frozen_dataclass

RetainedKind = Literal["runs", "tasks", "attempts", "logs", "deadletters", "audit", "spends"]
RETAINED_KINDS: Final[tuple[RetainedKind, ...]] = get_args(RetainedKind)
LEAST: Final[Mapping[RetainedKind, timedelta]] = {
    "audit": timedelta(days=30),
    "spends": timedelta(days=400),
}
"""Kinds of the whole installation, which are kept by age alone, and how long at least."""

SHORTEST: Final = timedelta(hours=1)
"""What has ended more recently stays, whatever the number says."""
_KEEP: Final = re.compile(r"(?:(?P<age>[0-9]+[dhm][0-9dhm]*)(?:/|$))?(?P<count>[1-9][0-9]{0,8})?")
_EXAMPLE: Final = "write for example runs=90d,logs=30d/10000"


@frozen_dataclass
class Keep:
    """What is older than the age goes, and what is beyond the newest `count` goes."""

    age: timedelta | None = None
    count: int | None = None
    """How many each subscription keeps; for tasks and attempts, of how many runs."""

    def __str__(self) -> str:
        """Return the text that `parse_policy` reads."""
        parts = (self.age and format_duration(self.age), self.count and str(self.count))
        return "/".join(part for part in parts if part)


Policy = Mapping[RetainedKind, Keep]
"""A kind without an entry is kept for ever."""


def parse_policy(text: str, source: str = "retention") -> dict[RetainedKind, Keep]:
    """Return the policy of `runs=90d,logs=30d/10000`; an empty text, or `0`, keeps everything.

    UsageError, beginning with the source, for any other text.
    """
    policy: dict[RetainedKind, Keep] = {}
    for part in re.split(r"[,\s]+", text.strip()) if text.strip() not in {"", "0"} else ():
        kind, equals, keep = part.partition("=")
        if kind not in RETAINED_KINDS:
            known = ", ".join(RETAINED_KINDS)
            raise UsageError(f"{source}: {kind!r} is not kept by a policy", hint=f"use {known}")
        if not equals or kind in policy:
            raise UsageError(f"{source}: {part!r} is not a policy", hint=_EXAMPLE)
        known_kind = cast("RetainedKind", kind)
        policy[known_kind] = _keep(known_kind, keep, part, source)
    return policy


def _keep(kind: RetainedKind, text: str, part: str, source: str) -> Keep:
    found = _KEEP.fullmatch(text)
    if found is None or not text or text.endswith("/"):
        raise UsageError(f"{source}: {part!r} is not a policy", hint=_EXAMPLE)
    try:
        age = parse_duration(found["age"]) if found["age"] else None
    except ValueError as error:
        raise UsageError(f"{source}: {part!r}: {error}", hint=_EXAMPLE) from error
    if age is not None and age < SHORTEST:
        raise UsageError(f"{source}: {part!r} is less than an hour", hint=_EXAMPLE)
    count = int(found["count"]) if found["count"] else None
    least = LEAST.get(kind)
    if least is not None and (age is None or age < least or count is not None):
        raise UsageError(
            f"{source}: {part!r}: {kind} is kept by age alone, at least {least.days} days",
            hint=f"write {kind}={least.days}d or more",
        )
    return Keep(age, count)
