"""Apply sets: whose an object is, and what is said when the files of another set claim it."""

from collections.abc import Mapping, Sequence
from typing import Final

from activityctl.errors import ConflictError

_MOST_LISTED: Final = 10


def require_same_applyset(applyset: str | None, owners: Mapping[str, str | None]) -> None:
    """Raise ConflictError, naming the objects, when any belongs to another apply set.

    `owners` tells the set of each present object, by `kind/name`; None for one of no set.
    """
    if applyset is None:
        return
    foreign = {label: owner for label, owner in owners.items() if owner not in {None, applyset}}
    if not foreign:
        return
    labels, whose = sorted(foreign), "other apply sets"
    if len(sets := set(foreign.values())) == 1:
        whose = f'the apply set "{sets.pop()}"'
    else:
        labels = [f'{label} ("{foreign[label]}")' for label in labels]
    raise ConflictError(
        f"{shorten_list(labels)} {'belongs' if len(labels) == 1 else 'belong'} to {whose}, "
        f'not to "{applyset}"',
        hint="apply it with its own set, or delete it there first",
    )


def shorten_list(texts: Sequence[str]) -> str:
    """Return the texts as one line: ten at most, then how many more there are."""
    more = len(texts) - _MOST_LISTED
    shown = ", ".join(texts[:_MOST_LISTED])
    return f"{shown} and {more} more" if more > 0 else shown
