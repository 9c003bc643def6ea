"""The keys that definitions name: which kind each one should be, and which definitions use it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from activityctl.domain.chain.keys import KeyKind
from activityctl.domain.manifests.calling_tasks import calling_body
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.task_tree import all_templates


@dataclass(frozen=True, slots=True, order=True)
class NeededKey:
    """A key that a worker must have to carry out a definition."""

    name: str
    kind: KeyKind


def keys_of(spec: DefinitionSpec) -> set[NeededKey]:
    """Return the keys that the tasks of a definition name that make calls."""
    bodies = (calling_body(task) for task in all_templates(spec.all_tasks))
    return {
        NeededKey(name, kind)
        for body in bodies
        for kind, name in _named(body)
        if isinstance(name, str)
    }


def _named(body: Mapping[str, object]) -> Iterator[tuple[KeyKind, object]]:
    yield KeyKind.HMAC, body.get("hmacKey")
    yield KeyKind.EXECUTOR, body.get("autosign")
    relay = body.get("relay")
    relayers = relay.get("relayers") if isinstance(relay, Mapping) else None
    for name in relayers if isinstance(relayers, list | tuple) else ():
        yield KeyKind.RELAYER, name


def users_of_keys(definitions: Mapping[str, DefinitionSpec]) -> dict[NeededKey, list[str]]:
    """Return which definitions use each key, sorted by its name."""
    users: dict[NeededKey, set[str]] = {}
    for name, spec in definitions.items():
        for key in keys_of(spec):
            users.setdefault(key, set()).add(f"definition/{name}")
    return {key: sorted(users[key]) for key in sorted(users)}
