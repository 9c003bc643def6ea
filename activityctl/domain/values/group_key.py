"""Group key: the stored text of a rendered key, by which runs or events are grouped."""

import hashlib
from typing import Final

from activityctl.domain.values.ids import canonical_json
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.untrusted import storable

LONGEST_KEY: Final = 200
"""The most characters of a stored key; an index entry of Postgres may have 2.7 kB."""


def group_key(value: JsonValue) -> str:
    """Return the text of a key: a string unchanged, any other value as its canonical JSON.

    A text over LONGEST_KEY is cut to that length and ends in its SHA-256. Characters that
    Postgres refuses are replaced.
    """
    key = storable(value if isinstance(value, str) else canonical_json(value))
    if len(key) <= LONGEST_KEY:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"{key[: LONGEST_KEY - len(digest) - 1]}…{digest}"
