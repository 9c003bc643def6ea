"""Who uses which secret: of the live objects, and of manifests that are to be applied."""

from collections.abc import Collection

from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.gitops.needed_secrets import users_of_secrets
from activityctl.domain.gitops.plan import Present
from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.domain.values.json_form import View
from activityctl.ports import Catalog


async def live_users(catalog: Catalog) -> dict[str, list[str]]:
    """Return who uses each secret among the live definitions and subscriptions."""
    present = await catalog.present()
    live = (
        (subscription.name, subscription.definition, subscription.params)
        for subscription in present.subscriptions.values()
        if subscription.status is not SubscriptionStatus.DELETED
    )
    specs = {name: definition.spec for name, definition in present.definitions.items()}
    return users_of_secrets(specs, live)


def users_in_files(manifests: ManifestSet, present: Present | None = None) -> dict[str, list[str]]:
    """Return who uses each secret among the manifests; live definitions are known as well."""
    specs = {name: manifest.spec for name, manifest in manifests.definitions.items()}
    subscriptions = [
        (name, manifest.spec.activity, manifest.spec.params)
        for name, manifest in manifests.subscriptions.items()
    ]
    if present is None:
        return users_of_secrets(specs, subscriptions)
    live = {name: definition.spec for name, definition in present.definitions.items()}
    mine = {f"definition/{name}" for name in specs} | {
        f"subscription/{s[0]}" for s in subscriptions
    }
    users = users_of_secrets({**live, **specs}, subscriptions)
    found = {secret: [user for user in of if user in mine] for secret, of in users.items()}
    return {secret: of for secret, of in found.items() if of}


def secret_views(users: dict[str, list[str]], known: Collection[str]) -> list[View]:
    """Return the secrets as JSON: name, who uses it, and whether this machine has it."""
    return [
        {"name": name, "usedBy": of, "isFoundHere": name in known} for name, of in users.items()
    ]
