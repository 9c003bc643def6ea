"""Apply sets: refuses to change objects of another set, and to prune by mistake."""

from collections.abc import Mapping, Sequence
from typing import Final

from activityctl.domain.gitops.plan import Change, Wanted
from activityctl.domain.values.plurals import count_noun
from activityctl.errors import ConflictError, InvalidInputError

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


def require_intended_prunes(wanted: Wanted, prunes: Sequence[Change]) -> None:
    """Raise an error when the prunes look like a mistake.

    InvalidInputError when there is no manifest at all, unless that is allowed. ConflictError when
    a file that was not read, because it is in a subfolder, has a pruned object.
    """
    labels = [f"{change.kind.lower()}/{change.name}" for change in prunes]
    if wanted.prune and wanted.is_empty and not wanted.allow_empty:
        if not labels:
            raise InvalidInputError(
                f"the files have no manifest, and the apply set {wanted.applyset} has no objects",
                hint="give the right folder with -f",
            )
        objects = count_noun(len(labels), "object")
        raise InvalidInputError(
            f"the files have no manifest; pruning would delete all of the apply set "
            f"{wanted.applyset}, {objects}: {shorten_list(labels)}; nothing was changed",
            hint="give the right folder with -f; to empty the set, add --allow-empty",
        )
    moved = [
        f"{label} (in {file})"
        for label, change in zip(labels, prunes, strict=True)
        if (file := wanted.unread.get((change.kind, change.name))) is not None
    ]
    if moved:
        raise ConflictError(
            f"pruning would delete what files in subfolders still have: {shorten_list(moved)}; "
            "nothing was changed",
            hint="add -R to read the subfolders too",
        )


def shorten_list(texts: Sequence[str]) -> str:
    """Return at most ten of the texts as one line, and how many more there are."""
    more = len(texts) - _MOST_LISTED
    shown = ", ".join(texts[:_MOST_LISTED])
    return f"{shown} and {more} more" if more > 0 else shown
