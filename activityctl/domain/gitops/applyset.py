"""Apply sets: refuses to change objects that belong to another apply set."""

from collections.abc import Mapping, Sequence
from typing import Final

from activityctl.errors import ConflictError

_MOST_LISTED: Final = 10


def require_same_applyset(applyset: str | None, owners: Mapping[str, str | None]) -> None:
    """Raise ConflictError, naming the objects, when any belongs to another apply set.

    `owners` has the apply set of each live object by `kind/name`; None for an object without one.
    """
    foreign = {label: owner for label, owner in owners.items() if owner not in {None, applyset}}
    if not foreign:
        return
    labels, owner_text = sorted(foreign), "other apply sets"
    if len(sets := set(foreign.values())) == 1:
        owner_text = f'the apply set "{sets.pop()}"'
    else:
        labels = [f'{label} ("{foreign[label]}")' for label in labels]
    belongs = f"{shorten_list(labels)} {'belongs' if len(labels) == 1 else 'belong'} to"
    if applyset is None:
        raise ConflictError(
            f"{belongs} {owner_text} and can only be changed with it; nothing was changed",
            hint=f"add --applyset {foreign[min(foreign)]}, with all files of that set",
        )
    raise ConflictError(
        f'{belongs} {owner_text}, not to "{applyset}"',
        hint="apply the object with its own apply set, or add --take-over to move it to this one",
    )


def shorten_list(texts: Sequence[str]) -> str:
    """Return at most ten of the texts as one line, and how many more there are."""
    more = len(texts) - _MOST_LISTED
    shown = ", ".join(texts[:_MOST_LISTED])
    return f"{shown} and {more} more" if more > 0 else shown
