"""The secrets that definitions and event sources need, and who needs each."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from activityctl.domain.bodies.secret_choices import needed_secrets
from activityctl.domain.chain.rpc_url import secret_name
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.param_defaults import fill_defaults
from activityctl.domain.sources.spec import EventSourceSpec
from activityctl.domain.values.model import JsonValue, canonical

_WITHOUT_SECRETS: Final = frozenset({"params", "triggers", "state"})
"""Fields of a definition whose maps are data."""


def secrets_of(spec: DefinitionSpec, params: Mapping[str, Any] | None = None) -> list[str]:
    """Return the names of the secrets that a definition needs, sorted.

    Names that params choose are included only with the params of a subscription.
    """
    return sorted({*_secrets_in(_bodies(spec), spec, params), *_secrets_of_chains(spec)})


def _secrets_in(
    bodies: JsonValue, spec: DefinitionSpec, params: Mapping[str, Any] | None
) -> set[str]:
    filled = None if params is None else fill_defaults(spec.params, params)
    return {*needed_secrets(bodies, filled)}


def _secrets_of_chains(spec: DefinitionSpec) -> Iterator[str]:
    """Yield the secrets that have the addresses of the nodes of chains."""
    for trigger in spec.triggers:
        body = (trigger.model_extra or {}).get("chain")
        if isinstance(body, dict) and isinstance(body.get("chainId"), int):
            yield secret_name(body["chainId"])


def users_of_secrets(
    definitions: Mapping[str, DefinitionSpec],
    subscriptions: Iterable[tuple[str, str, Mapping[str, Any]]],
    sources: Mapping[str, EventSourceSpec] | None = None,
) -> dict[str, list[str]]:
    """Return who uses each secret, by its name: definitions, event sources, subscriptions.

    A subscription is given as its name, its definition and its params, which choose secrets.
    """
    users: dict[str, set[str]] = {}
    own = {name: {*secrets_of(spec)} for name, spec in definitions.items()}
    bodies = {name: _bodies(spec) for name, spec in definitions.items()}
    for name, secrets in own.items():
        for secret in secrets:
            users.setdefault(secret, set()).add(f"definition/{name}")
    for name, definition, params in subscriptions:
        if definition not in own:
            continue
        chosen = _secrets_in(bodies[definition], definitions[definition], params)
        for secret in chosen - own[definition]:
            users.setdefault(secret, set()).add(f"subscription/{name}")
    for name, source in (sources or {}).items():
        for secret in source.verify.secret_names:
            users.setdefault(secret, set()).add(f"eventsource/{name}")
    return {secret: sorted(users[secret]) for secret in sorted(users)}


def _bodies(spec: DefinitionSpec) -> JsonValue:
    return {
        field: value for field, value in canonical(spec).items() if field not in _WITHOUT_SECRETS
    }
