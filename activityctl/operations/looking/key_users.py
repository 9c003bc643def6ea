"""Which definitions use which key, and which keys this machine has."""

from collections.abc import Iterable, Mapping, Sequence

from activityctl.domain.chain.keys import KnownKey
from activityctl.domain.gitops.needed_keys import NeededKey, users_of_keys
from activityctl.domain.values.json_form import View
from activityctl.ports import Catalog


async def live_key_users(catalog: Catalog) -> dict[NeededKey, list[str]]:
    """Return which live definitions use each key."""
    present = await catalog.present()
    return users_of_keys({name: found.spec for name, found in present.definitions.items()})


def key_views(users: Mapping[NeededKey, Sequence[str]], known: Iterable[KnownKey]) -> list[View]:
    """Return the keys as JSON: name, kind, who uses it, and whether this machine has it."""
    here = {NeededKey(key.name, key.kind) for key in known}
    return [
        {
            "name": key.name,
            "kind": key.kind.value,
            "usedBy": list(of),
            "isFoundHere": key in here,
        }
        for key, of in users.items()
    ]
