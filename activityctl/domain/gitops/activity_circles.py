"""Finds automations that start one another in a circle with tasks of the kind `activity`."""

from collections.abc import Iterator

from activityctl.domain.cel.expression import has_expression
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.scope import task_lists
from activityctl.domain.manifests.task_blocks import StaticBlock
from activityctl.domain.tasks.activity import ACTIVITY
from activityctl.domain.values.finding import Finding, Path
from activityctl.errors import Problem


def circle_problems(manifests: ManifestSet) -> Iterator[Problem]:
    """Yield one problem for each task that starts its own definition again, maybe through others.

    Only subscriptions of the same files are known, and only names without a template.
    """
    definitions = {name: found.spec for name, found in manifests.definitions.items()}
    activity_of = {name: found.spec.activity for name, found in manifests.subscriptions.items()}
    starts = {
        name: {
            path: activity_of[target] for path, target in _targets(spec) if target in activity_of
        }
        for name, spec in definitions.items()
    }
    for name, targets in starts.items():
        for path, target in targets.items():
            if (way := _way(target, name, starts, ())) is not None:
                circle = " -> ".join((name, *way))
                finding = Finding(("spec", *path), f"starts this automation again: {circle}")
                yield manifests.locate["ActivityDefinition", name](finding)


def _targets(spec: DefinitionSpec) -> Iterator[tuple[Path, str]]:
    """Yield the path and the name of each subscription that a task starts."""
    for phase, templates in task_lists(spec).items():
        yield from _targets_in(StaticBlock(templates, phase), (phase,))


def _targets_in(block: StaticBlock, path: Path) -> Iterator[tuple[Path, str]]:
    """Yield those of a block and of the groups, choices and undo tasks in it."""
    for index, task in enumerate(block.templates):
        body = (task.model_extra or {}).get(ACTIVITY)
        name = body.get("subscription") if isinstance(body, dict) else None
        if isinstance(name, str) and not has_expression(name):
            yield (*path, index, ACTIVITY, "subscription"), name
        for place, inner in block.inside(task):
            yield from _targets_in(inner, (*path, index, *place))


def _way(
    start: str, end: str, starts: dict[str, dict[Path, str]], seen: tuple[str, ...]
) -> tuple[str, ...] | None:
    """Return the definitions from one to the other, both included; None if there is no way."""
    if start == end:
        return (*seen, end)
    if start in seen:
        return None
    ways = (
        _way(following, end, starts, (*seen, start)) for following in starts.get(start, {}).values()
    )
    return next((way for way in ways if way is not None), None)
