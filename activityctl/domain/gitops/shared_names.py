"""Limits and breakers that several definitions share: all declare the same name in the same way."""

from collections.abc import Iterator, Mapping

from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.scope import task_lists
from activityctl.domain.manifests.task_tree import all_templates
from activityctl.domain.tasks.breaker import BreakerPolicy
from activityctl.domain.values.finding import Finding, Path
from activityctl.domain.values.model import JsonValue, canonical
from activityctl.errors import Problem

_Declared = dict[str, JsonValue]


def shared_name_problems(
    manifests: ManifestSet, specs: Mapping[str, DefinitionSpec]
) -> Iterator[Problem]:
    """Yield limits and breakers of the files that a definition declares in another way.

    `specs` are the definitions that exist afterwards, those of the files included.
    """
    known: dict[tuple[str, str], tuple[str, _Declared]] = {}
    # Live definitions come first, so that the problem is shown in a file.
    for name in sorted(specs, key=lambda name: (name in manifests.definitions, name)):
        for path, word, shared, declared in _declared(specs[name]):
            first, other = known.setdefault((word, shared), (name, declared))
            if other == declared or name not in manifests.definitions:
                continue
            where = "this definition" if first == name else f"definition {first!r}"
            reason = (
                f"{where} declares the {word} {shared!r} with {_shown(other)}, not "
                f"{_shown(declared)}; it is shared, so declare it in the same way everywhere"
            )
            locate = manifests.locate["ActivityDefinition", name]
            yield locate(Finding(("spec", *path), reason))


def _declared(spec: DefinitionSpec) -> Iterator[tuple[Path, str, str, _Declared]]:
    for index, limit in enumerate(spec.limits):
        yield ("limits", index), "limit", limit.name, canonical(limit)
    for path, breaker in _breakers(spec):
        if breaker is not None and breaker.name is not None:
            declared = canonical(breaker)
            declared.pop("whileOpen", None)  # what a task does is its own affair
            yield path, "breaker", breaker.name, declared


def _breakers(spec: DefinitionSpec) -> Iterator[tuple[Path, BreakerPolicy | None]]:
    for index, source in enumerate(spec.context):
        yield ("context", index), source.breaker
    for phase, templates in task_lists(spec).items():
        for index, template in enumerate(templates):
            for task in all_templates([template]):
                yield (phase, index), task.breaker


def _shown(declared: _Declared) -> str:
    fields = [f"{key} {value}" for key, value in declared.items() if key != "name"]
    return ", ".join(fields) or "its defaults"
