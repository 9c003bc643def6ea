"""The text of a rendered key by which things are told apart; what is told apart is not here."""

import hashlib
from typing import Final

from activityctl.domain.values.ids import canonical_json
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.untrusted import storable

LONGEST_KEY: Final = 200
"""Characters of a key that are kept as they are; an index entry of Postgres holds 2.7 kB."""


def group_key(value: JsonValue) -> str:
    """Return the text: a string as it is, else its canonical JSON; a long one ends in a hash."""
    key = storable(value if isinstance(value, str) else canonical_json(value))
    if len(key) <= LONGEST_KEY:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"{key[: LONGEST_KEY - len(digest) - 1]}…{digest}"
