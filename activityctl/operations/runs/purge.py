"""Remove a text from everything that is stored, also from what is otherwise never changed."""

from activityctl.domain.values.purging import LEAST_PURGED, forms_of
from activityctl.errors import InvalidInputError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Occurrence, Purge


@frozen_dataclass
class Purged:
    """Where the text was, and where it still is, such as in keys."""

    found: tuple[Occurrence, ...]
    left: tuple[Occurrence, ...]


def checked_forms(text: str) -> list[str]:
    """Return the forms to look for; InvalidInputError for a text that is too short."""
    if len(text) < LEAST_PURGED:
        raise InvalidInputError(
            f"the text has {len(text)} characters; shorter than {LEAST_PURGED} it would be found "
            "by chance in texts that are not the secret",
            hint="write the whole secret to standard input",
        )
    return forms_of(text)


async def find(purge: Purge, text: str) -> Purged:
    """Return where the text is; change nothing."""
    found = tuple(await purge.find(checked_forms(text)))
    return Purged(found, found)


async def replace(purge: Purge, text: str) -> Purged:
    """Replace the text by `***`, then look again: a worker may have written it meanwhile."""
    forms = checked_forms(text)
    found = tuple(await purge.replace(forms))
    return Purged(found, tuple(await purge.find(forms)))
