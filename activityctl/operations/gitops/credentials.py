"""Add to a plan the secrets and keys that its manifests need, and which of them are here."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from activityctl.domain.chain.keys import KnownKey
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.gitops.needed_keys import users_of_keys
from activityctl.operations.gitops.plan import Planned
from activityctl.operations.looking.key_users import key_views
from activityctl.operations.looking.secret_users import secret_views, users_in_files


def with_credentials(
    planned: Planned,
    manifests: ManifestSet,
    known_secrets: Collection[str],
    known_keys: Callable[[], Iterable[KnownKey]],
) -> Planned:
    """Return the plan with the secrets and keys that the manifests need.

    The known ones are those of this machine; `known_keys` is called only if a key is needed.
    """
    users = users_in_files(manifests, planned.present)
    specs = {name: manifest.spec for name, manifest in manifests.definitions.items()}
    key_users = users_of_keys(specs)
    keys = key_views(key_users, known_keys()) if key_users else []
    view = {**planned.view, "secrets": secret_views(users, known_secrets), "keys": keys}
    return replace(planned, view=view)
