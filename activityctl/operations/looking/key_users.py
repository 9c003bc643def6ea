"""Which definitions use which key."""

from collections.abc import Mapping

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.task_tree import all_templates
from activityctl.ports import Catalog


async def live_key_users(catalog: Catalog) -> dict[str, list[str]]:
    """Return which live definitions use each key, by the name of the key."""
    present = await catalog.present()
    return users_of_keys({name: found.spec for name, found in present.definitions.items()})


def users_of_keys(definitions: Mapping[str, DefinitionSpec]) -> dict[str, list[str]]:
    """Return which definitions use each key, by the name of the key."""
    users: dict[str, set[str]] = {}
    for name, spec in definitions.items():
        for task in all_templates(spec.all_tasks):
            body = task.body if "webhook" in task.kinds else None
            if isinstance(body, Mapping) and isinstance(body.get("hmacKey"), str):
                users.setdefault(body["hmacKey"], set()).add(f"definition/{name}")
    return {key: sorted(users[key]) for key in sorted(users)}
