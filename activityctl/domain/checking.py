"""The checks of a manifest beyond its shape: kinds, expressions, needs, params.

Everything that `apply` would find later is found here, offline.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from activityctl.domain.definition import DefinitionSpec, TaskTemplate, TriggerTemplate
from activityctl.domain.expression import NAMES, check_expression, check_template, has_expression
from activityctl.domain.finding import Finding, Path, findings_of, unknown_field
from activityctl.domain.model import JsonValue, Kinded
from activityctl.domain.params import check_params, check_schema, fill_defaults
from activityctl.domain.subscription import SubscriptionSpec, effective_triggers
from activityctl.domain.trigger import TRIGGER_KINDS

_BEFORE_TASKS: Final = tuple(name for name in NAMES if name not in {"tasks", "item"})
_WITHOUT_ITEM: Final = tuple(name for name in NAMES if name != "item")


@dataclass(frozen=True, slots=True)
class Kinds:
    """The kinds that this installation knows, each with the model of its body."""

    tasks: Mapping[str, type[BaseModel]]
    contexts: Mapping[str, type[BaseModel]]


def check_definition(spec: DefinitionSpec, kinds: Kinds) -> list[Finding]:
    """Return everything wrong with a definition whose shape is right."""
    found = [finding.under("params") for finding in check_schema(spec.params)]
    found += _check_names(spec)
    for index, trigger in enumerate(spec.triggers):
        found += _under(_check_trigger(trigger), "triggers", index)
    for index, source in enumerate(spec.context):
        inner = _check_kind(source, kinds.contexts) + _check_templates(source, _BEFORE_TASKS)
        found += _under(inner, "context", index)
    for index, rule in enumerate(spec.rules):
        found += _under(_check_cel(rule.when, _BEFORE_TASKS, "when"), "rules", index)
    for phase in ("tasks", "onFailure"):
        templates = spec.tasks if phase == "tasks" else spec.on_failure
        for index, task in enumerate(templates):
            found += _under(_check_task(task, kinds), phase, index)
        found += _under(_check_needs(templates), phase)
    found += _under(_template_findings(spec.state, _WITHOUT_ITEM), "state")
    return found


def check_subscription(spec: SubscriptionSpec, definition: DefinitionSpec) -> list[Finding]:
    """Return everything wrong with a subscription to that definition."""
    params = fill_defaults(definition.params, spec.params)
    found = _under(check_params(definition.params, params), "params")
    known = {trigger.name: trigger for trigger in definition.triggers}
    for name, override in spec.triggers.items():
        if name not in known:
            reason = unknown_field(name, known).replace("unknown field", "no such trigger:")
            found.append(Finding(("triggers", name), reason, at_key=True))
        elif override is not None:
            alone = definition.model_copy(update={"triggers": (known[name],)})
            found += _under(_check_override(alone, name, override), "triggers", name)
    return found


def _check_override(
    definition: DefinitionSpec, name: str, override: dict[str, JsonValue]
) -> list[Finding]:
    """Check an override of the definition's only trigger."""
    if unknown := [kind for kind in override if kind not in TRIGGER_KINDS]:
        return [
            Finding((kind,), unknown_field(kind, TRIGGER_KINDS), at_key=True) for kind in unknown
        ]
    if len(override) != 1:
        return [Finding((), "an override names exactly one kind, or is null")]
    (trigger,) = effective_triggers(definition, {name: override})
    return _check_trigger(trigger)


def _under(findings: Iterable[Finding], *prefix: str | int) -> list[Finding]:
    return [finding.under(*prefix) for finding in findings]


def _check_names(spec: DefinitionSpec) -> Iterator[Finding]:
    lists: tuple[tuple[str, Sequence[Any]], ...] = (
        ("triggers", spec.triggers),
        ("context", spec.context),
        ("tasks", spec.tasks),
        ("onFailure", spec.on_failure),
    )
    for field, items in lists:
        for name, count in Counter(item.name for item in items).items():
            if count > 1:
                indexes = [index for index, item in enumerate(items) if item.name == name]
                yield Finding((field, indexes[1], "name"), f"{name!r} is used twice")
    main = {task.name for task in spec.tasks}
    for index, task in enumerate(spec.on_failure):
        if task.name in main:
            yield Finding(("onFailure", index, "name"), f"{task.name!r} is also in tasks")


def _check_kind(item: Kinded, known: Mapping[str, type[BaseModel]]) -> list[Finding]:
    kinds = item.kinds
    unknown = [kind for kind in kinds if kind not in known]
    fields = [field.alias or name for name, field in type(item).model_fields.items()]
    if unknown:
        names = [*fields, *known]
        return [Finding((kind,), unknown_field(kind, names), at_key=True) for kind in unknown]
    if len(kinds) != 1:
        listed = ", ".join(sorted(known))
        reason = f"exactly one kind is needed ({listed})"
        return [Finding((), reason + (f"; found {', '.join(kinds)}" if kinds else ""))]
    return _under(_check_body(item.body, known[item.kind]), item.kind)


def _check_trigger(trigger: TriggerTemplate) -> list[Finding]:
    """Check a trigger, whose body is used as it stands: a run's expressions come too late."""
    templated = [
        Finding(path, "triggers take no ${ … }; a Subscription can override the trigger")
        for kind in trigger.kinds
        for path in _templated_places((trigger.model_extra or {})[kind], (kind,))
    ]
    return templated or _check_kind(trigger, TRIGGER_KINDS)


def _templated_places(value: JsonValue, path: Path) -> Iterator[Path]:
    match value:
        case str() if has_expression(value):
            yield path
        case dict():
            for key, child in value.items():
                yield from _templated_places(child, (*path, key))
        case list():
            for index, child in enumerate(value):
                yield from _templated_places(child, (*path, index))


def _check_body(body: JsonValue, model: type[BaseModel]) -> list[Finding]:
    """Hold a body against its model; a templated value may turn out as anything, a key not."""
    try:
        model.model_validate_json(json.dumps(body))
    except ValidationError as error:
        return [
            finding
            for finding in findings_of(error, model)
            if finding.at_key or not _is_templated(body, finding.path)
        ]
    return []


def _is_templated(body: JsonValue, path: Path) -> bool:
    value = body
    for part in path:
        if isinstance(value, str):
            break
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            continue
    return isinstance(value, str) and has_expression(value)


def _check_task(task: TaskTemplate, kinds: Kinds) -> list[Finding]:
    names = NAMES if task.for_each is not None else _WITHOUT_ITEM
    found = _check_kind(task, kinds.tasks) + _check_templates(task, names)
    if task.when is not None:
        found += _check_cel(task.when, _WITHOUT_ITEM, "when")
    if task.for_each is not None:
        found += _under(_template_findings(task.for_each, _WITHOUT_ITEM), "forEach")
        if isinstance(task.for_each, str) and not has_expression(task.for_each):
            found.append(Finding(("forEach",), "should be a list, or a ${ … } that gives one"))
    elif task.max_parallel is not None:
        found.append(Finding(("maxParallel",), "needs a forEach", at_key=True))
    return found


def _check_templates(item: Kinded, names: Collection[str]) -> list[Finding]:
    return [
        finding.under(kind)
        for kind in item.kinds
        for finding in _template_findings((item.model_extra or {})[kind], names)
    ]


def _check_cel(source: str, names: Collection[str], *path: str | int) -> list[Finding]:
    problem = check_expression(source, names)
    return [] if problem is None else [Finding(path, problem.reason, problem.offset)]


def _template_findings(template: JsonValue, names: Collection[str]) -> list[Finding]:
    return [
        Finding(problem.path, problem.reason, problem.offset)
        for problem in check_template(template, names)
    ]


def _check_needs(templates: Sequence[TaskTemplate]) -> Iterator[Finding]:
    known = {task.name for task in templates}
    for index, task in enumerate(templates):
        for position, need in enumerate(task.needs):
            if need not in known:
                reason = unknown_field(need, known).replace("unknown field", "no such task:")
                yield Finding((index, "needs", position), reason)
    done: set[str] = set()
    waiting = {task.name: known & set(task.needs) for task in templates}
    while ready := [name for name, needs in waiting.items() if needs <= done]:
        done.update(ready)
        for name in ready:
            del waiting[name]
    while bystanders := waiting.keys() - {need for needs in waiting.values() for need in needs}:
        for name in bystanders:
            del waiting[name]
    if waiting:
        index = next(i for i, task in enumerate(templates) if task.name in waiting)
        circle = ", ".join(sorted(waiting))
        yield Finding((index, "needs"), f"these tasks wait for one another: {circle}")
