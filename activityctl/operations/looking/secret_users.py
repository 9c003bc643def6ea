"""Who uses which secret: of the live objects, and of manifests that are to be applied."""

from collections.abc import Collection, Mapping
from typing import Any

from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.gitops.needed_secrets import secrets_of, users_of_secrets
from activityctl.domain.gitops.plan import Present
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.domain.values.ids import canonical_json
from activityctl.domain.values.json_form import View
from activityctl.domain.values.selection import Selection
from activityctl.ports import Catalog


async def live_users(catalog: Catalog) -> dict[str, list[str]]:
    """Return who uses each secret among the live objects."""
    present = await catalog.present()
    live = (
        (subscription.name, subscription.definition, subscription.params)
        for subscription in present.subscriptions.values()
        if subscription.status is not SubscriptionStatus.DELETED
    )
    specs = {name: definition.spec for name, definition in present.definitions.items()}
    sources = {name: source.spec for name, source in present.sources.items()}
    return users_of_secrets(specs, live, sources)


def users_in_files(manifests: ManifestSet, present: Present | None = None) -> dict[str, list[str]]:
    """Return who uses each secret among the manifests; live definitions are known as well."""
    specs = {name: manifest.spec for name, manifest in manifests.definitions.items()}
    subscriptions = [
        (name, manifest.spec.activity, manifest.spec.params)
        for name, manifest in manifests.subscriptions.items()
    ]
    sources = {name: manifest.spec for name, manifest in manifests.sources.items()}
    if present is None:
        return users_of_secrets(specs, subscriptions, sources)
    live = {name: definition.spec for name, definition in present.definitions.items()}
    mine = {f"definition/{name}" for name in specs} | {
        f"subscription/{s[0]}" for s in subscriptions
    }
    mine |= {f"eventsource/{name}" for name in sources}
    users = users_of_secrets({**live, **specs}, subscriptions, sources)
    found = {secret: [user for user in of if user in mine] for secret, of in users.items()}
    return {secret: of for secret, of in found.items() if of}


def secret_views(users: dict[str, list[str]], known: Collection[str]) -> list[View]:
    """Return the secrets as JSON: name, who uses it, and whether this machine has it."""
    return [
        {"name": name, "usedBy": of, "isFoundHere": name in known} for name, of in users.items()
    ]


async def needed_by(
    catalog: Catalog, definition: str, params: Mapping[str, Any] | None
) -> list[str]:
    """Return the names of the secrets that a live definition needs; none if there is none."""
    found = await catalog.definitions(Selection(name=definition, limit=1))
    if not found:
        return []
    spec = DefinitionSpec.model_validate_json(canonical_json(found[0][1].spec))
    return secrets_of(spec, params)
