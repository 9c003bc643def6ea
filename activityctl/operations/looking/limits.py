"""Read limits: what definitions declare, who uses it, and what waits."""

from collections.abc import Mapping
from typing import Final

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.task_tree import all_templates
from activityctl.domain.tasks.held_task import waiting_view
from activityctl.domain.tasks.limit import Limit
from activityctl.domain.tasks.limit_use import LimitUse, limit_view
from activityctl.domain.values.ids import canonical_json
from activityctl.domain.values.json_form import View
from activityctl.domain.values.selection import Selection
from activityctl.ports import Catalog, RunLists

_SHOWN: Final = 100
"""The most tasks that the description of a limit names."""


async def limit_views(catalog: Catalog, lists: RunLists, selection: Selection) -> list[View]:
    """Return the declared limits by name, each with who uses it and what waits."""
    limits: dict[str, Limit] = {}
    users: dict[str, list[str]] = {}
    for found in await catalog.definitions(Selection(limit=None)):
        spec = _spec_with_limits(found[1].spec)
        if spec is None:
            continue
        limits |= {limit.name: limit for limit in spec.limits}
        named = {source.limit for source in spec.context}
        named |= {task.limit for task in all_templates(spec.all_tasks)}
        for name in (name for name in named if name is not None):
            users.setdefault(name, []).append(f"definition/{found[1].definition}")
    uses = {use.name: use for use in await lists.limit_uses()}
    views = [
        limit_view(limits[name], sorted(users.get(name, ())), uses.get(name, LimitUse(name)))
        for name in sorted(limits)
        if selection.name in {None, name}
    ]
    return views[: selection.limit]


async def waiting_tasks(lists: RunLists, name: str) -> list[View]:
    """Return the tasks that wait for a limit, the first hundred that ask again."""
    return [waiting_view(held) for held in await lists.held_by_limit(name, _SHOWN)]


def _spec_with_limits(spec: Mapping[str, object]) -> DefinitionSpec | None:
    if not spec.get("limits"):
        return None
    return DefinitionSpec.model_validate_json(canonical_json(spec))
