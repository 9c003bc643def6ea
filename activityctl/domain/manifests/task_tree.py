"""Finds the template of a task by the name of its row, however deep it is nested."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.task_template import TaskTemplate

_INDEX: Final = re.compile(r"\[\d+\]")


def template_path(name: str) -> str:
    """Return the path of a row's template: `payment.charge` for `payment[2].charge`."""
    return _INDEX.sub("", name)


def templates_by_path(spec: DefinitionSpec) -> dict[str, TaskTemplate]:
    """Return every template of the definition, by its path."""
    return dict(_by_path(spec.all_tasks, ""))


def all_templates(templates: Iterable[TaskTemplate]) -> Iterator[TaskTemplate]:
    """Yield the templates and all that are in them, with those that undo them."""
    for _, template in _by_path(templates, ""):
        yield template


def _by_path(templates: Iterable[TaskTemplate], prefix: str) -> Iterator[tuple[str, TaskTemplate]]:
    for template in templates:
        path = prefix + template.name
        yield path, template
        yield from _by_path((*template.children, *template.undo), f"{path}.")
