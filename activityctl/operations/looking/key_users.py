"""Which definitions use which key."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from activityctl.domain.chain.keys import KeyKind
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.task_tree import all_templates
from activityctl.ports import Catalog

_FIELDS: Final[Mapping[str, KeyKind]] = {"hmacKey": KeyKind.HMAC, "autosign": KeyKind.EXECUTOR}


@dataclass(frozen=True, slots=True)
class KeyUse:
    """A key that definitions name."""

    kind: KeyKind
    users: tuple[str, ...]


async def live_key_users(catalog: Catalog) -> dict[str, KeyUse]:
    """Return which live definitions use each key, by the name of the key."""
    present = await catalog.present()
    return users_of_keys({name: found.spec for name, found in present.definitions.items()})


def users_of_keys(definitions: Mapping[str, DefinitionSpec]) -> dict[str, KeyUse]:
    """Return which definitions use each key, by the name of the key."""
    users: dict[str, tuple[KeyKind, set[str]]] = {}
    for name, spec in definitions.items():
        for key, kind in _named(spec):
            users.setdefault(key, (kind, set()))[1].add(f"definition/{name}")
    return {key: KeyUse(kind, tuple(sorted(found))) for key, (kind, found) in sorted(users.items())}


def _named(spec: DefinitionSpec) -> Iterator[tuple[str, KeyKind]]:
    for task in all_templates(spec.all_tasks):
        body = task.body if "webhook" in task.kinds else None
        if isinstance(body, Mapping):
            for field, kind in _FIELDS.items():
                if isinstance(body.get(field), str):
                    yield body[field], kind
