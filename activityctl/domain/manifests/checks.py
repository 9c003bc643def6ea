"""Checks of a manifest whose shape is right: kinds, expressions, needs and params.

They work offline, so `validate` finds the same problems as `apply`.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ValidationError

from activityctl.domain.bodies.call_choices import URL_FIELDS, check_credentials_of_calls
from activityctl.domain.bodies.command_choices import check_choices, trusted_names
from activityctl.domain.bodies.scripts import COMMAND, check_scripts
from activityctl.domain.bodies.secret_choices import check_secrets
from activityctl.domain.bodies.slots import slots_of
from activityctl.domain.bodies.verbatim import check_verbatim, with_expressions
from activityctl.domain.cel.expression import has_expression
from activityctl.domain.cel.static_check import (
    CONDITION,
    LIST,
    StaticScope,
    WantedKinds,
    any_kind,
    check_meaning,
    check_template_meaning,
)
from activityctl.domain.cel.static_type import CelKinds, StaticType, params_type
from activityctl.domain.cel.templates import constant_key
from activityctl.domain.chain.trigger import ChainTrigger, check_chain_trigger
from activityctl.domain.events.trigger import KEY_PATHS, EventTrigger, check_event_trigger
from activityctl.domain.manifests.account_checks import check_account
from activityctl.domain.manifests.definition import DefinitionSpec, TriggerTemplate
from activityctl.domain.manifests.engine_checks import check_engine_task
from activityctl.domain.manifests.flow_checks import check_flow, check_needs
from activityctl.domain.manifests.param_defaults import fill_defaults
from activityctl.domain.manifests.params import check_params, check_schema
from activityctl.domain.manifests.partial import read_partially
from activityctl.domain.manifests.policy_checks import (
    check_limits,
    check_named_limit,
    check_policies,
    check_source_policies,
)
from activityctl.domain.manifests.run_limits import OverlapPolicy
from activityctl.domain.manifests.scope import Scopes, task_lists
from activityctl.domain.manifests.source_checks import check_plain_expressions
from activityctl.domain.manifests.subscription import SubscriptionSpec, effective_triggers
from activityctl.domain.manifests.task_blocks import StaticBlock
from activityctl.domain.manifests.task_template import BLOCK_KINDS, TaskTemplate
from activityctl.domain.manifests.trigger_kinds import EVENT_KINDS, TRIGGER_KINDS
from activityctl.domain.manifests.wait_checks import check_waits
from activityctl.domain.timing.bounds_check import check_bounds
from activityctl.domain.timing.jitter_check import check_jitter
from activityctl.domain.values.finding import Finding, Path, findings_of, unknown_field
from activityctl.domain.values.model import WRITTEN, JsonValue, Kinded
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class Kinds:
    """The task and context kinds of this installation, each with the model of its body."""

    tasks: Mapping[str, type[BaseModel]]
    contexts: Mapping[str, type[BaseModel]]
    reporting: frozenset[str] = frozenset()
    """The task kinds that report progress."""


def check_definition(spec: DefinitionSpec, kinds: Kinds) -> list[Finding]:
    """Return everything that is wrong with a definition whose shape is right."""
    findings = [finding.under("params") for finding in check_schema(spec.params)]
    scopes = Scopes(spec, has_sound_params=not findings)
    findings += _check_names(spec)
    findings += _under(check_limits(spec.limits), "limits")
    for index, trigger in enumerate(spec.triggers):
        findings += _under(_check_trigger(trigger, scopes.params), "triggers", index)
    findings += _check_gates(spec, scopes.gates())
    for index, source in enumerate(spec.context):
        inner = _check_kind(source, kinds.contexts)
        scope = scopes.context(index)
        inner += _check_templates(source, scope, kinds.contexts)
        inner += _under(_template_findings(source.default, scope), "default")
        inner += _check_call(source, trusted_names(None))
        inner += check_source_policies(source, scopes.limits)
        inner += _check_code(source)
        inner += check_plain_expressions(source, scope)
        findings += _under(inner, "context", index)
    for index, rule in enumerate(spec.rules):
        findings += _under(_check_condition(rule.when, scopes.rules(), "when"), "rules", index)
    for phase, templates in task_lists(spec).items():
        findings += _under(_check_block(StaticBlock(templates, phase), kinds, scopes), phase)
    findings += check_waits(spec)
    findings += _under(_template_findings(spec.state, scopes.state()), "state")
    return findings


def check_subscription(spec: SubscriptionSpec, definition: DefinitionSpec) -> list[Finding]:
    """Return everything that is wrong with a subscription to that definition."""
    params = fill_defaults(definition.params, spec.params)
    findings = _under(check_params(definition.params, params), "params")
    findings += check_account(spec, definition)
    known = {trigger.name: trigger for trigger in definition.triggers}
    for name, override in spec.triggers.items():
        if name not in known:
            reason = unknown_field(name, known).replace("unknown field", "no such trigger:")
            findings.append(Finding(("triggers", name), reason, at_key=True))
        elif override is not None:
            alone = definition.model_copy(update={"triggers": (known[name],)})
            findings += _under(_check_override(alone, name, override), "triggers", name)
    return findings


def _check_override(
    definition: DefinitionSpec, name: str, override: dict[str, JsonValue]
) -> list[Finding]:
    """Check an override of a trigger; the definition has this trigger only."""
    if unknown := [kind for kind in override if kind not in TRIGGER_KINDS]:
        return [
            Finding((kind,), unknown_field(kind, TRIGGER_KINDS), at_key=True) for kind in unknown
        ]
    if len(override) != 1:
        return [Finding((), "an override must name exactly one kind, or be null")]
    (trigger,) = effective_triggers(definition, {name: override})
    return _check_trigger(trigger, params_type(definition.params))


def _under(findings: Iterable[Finding], *prefix: str | int) -> list[Finding]:
    return [finding.under(*prefix) for finding in findings]


def _check_names(spec: DefinitionSpec) -> Iterator[Finding]:
    lists: tuple[tuple[str, Sequence[Any]], ...] = (
        ("triggers", spec.triggers),
        ("context", spec.context),
        *task_lists(spec).items(),
    )
    for field, items in lists:
        for name, count in Counter(item.name for item in items).items():
            if count > 1:
                indexes = [index for index, item in enumerate(items) if item.name == name]
                yield Finding((field, indexes[1], "name"), f"{name!r} is used twice")
    seen: dict[str, str] = {}
    for phase, templates in task_lists(spec).items():
        for index, task in enumerate(templates):
            if seen.setdefault(task.name, phase) != phase:
                reason = f"{task.name!r} is also in {seen[task.name]}"
                yield Finding((phase, index, "name"), reason)


def _check_kind(item: Kinded, known: Mapping[str, type[BaseModel]]) -> list[Finding]:
    kinds = item.kinds
    blocks = BLOCK_KINDS if isinstance(item, TaskTemplate) else ()
    unknown = [kind for kind in kinds if kind not in known and kind not in blocks]
    fields = [field.alias or name for name, field in type(item).model_fields.items()]
    if unknown:
        names = [*fields, *known]
        return [Finding((kind,), unknown_field(kind, names), at_key=True) for kind in unknown]
    if len(kinds) != 1:
        listed = ", ".join(sorted({*known, *blocks}))
        reason = f"exactly one kind is needed ({listed})"
        return [Finding((), reason + (f"; found {', '.join(kinds)}" if kinds else ""))]
    if item.kind in blocks:
        return []
    model = known[item.kind]
    found = _check_body(item.body, model)
    for finding in check_secrets(item.body, slots_of(model)):
        if not any(_are_one(finding.path, other.path) for other in found):
            found.append(finding)
    return _under(found, item.kind)


def _are_one(path: Path, other: Path) -> bool:
    """Return whether one of the paths is the other, or leads to it."""
    length = min(len(path), len(other))
    return path[:length] == other[:length]


def _check_trigger(trigger: TriggerTemplate, params: StaticType) -> list[Finding]:
    """Check a trigger; its body must not have templates, because there is no run yet."""
    templated = [
        Finding(path, "a trigger cannot use ${ … }; a Subscription can override the trigger")
        for kind in trigger.kinds
        for path in _templated_paths((trigger.model_extra or {})[kind], (kind,))
        if kind not in EVENT_KINDS or path[1:] not in KEY_PATHS
    ]
    lost = {finding.path[1:] for finding in templated}
    findings = templated + [
        finding
        for finding in _check_kind(trigger, TRIGGER_KINDS)
        if finding.path[1:] not in lost or not finding.path
    ]
    if trigger.kinds == ("event",):
        partial = read_partially(EventTrigger, trigger.body, lost)
        found = [] if partial is None else check_event_trigger(partial.value, params)
        return findings + _under(partial.findings(found) if partial else (), "event")
    if trigger.kinds == ("chain",):
        return findings + ([] if findings else _check_chain(trigger.body, params))
    if findings:
        return findings
    kind, body = trigger.kind, trigger.body
    return _under((*check_bounds(kind, body), *check_jitter(kind, body)), kind)


def _check_chain(body: JsonValue, params: StaticType) -> list[Finding]:
    trigger = ChainTrigger.model_validate_json(json.dumps(body))
    return _under(check_chain_trigger(trigger, params), "chain")


def _check_gates(spec: DefinitionSpec, scope: StaticScope) -> Iterator[Finding]:
    concurrency, throttle = spec.concurrency, spec.throttle
    if concurrency.policy is OverlapPolicy.ALLOW:
        yield from _under(_check_allow_policy(spec), "concurrency")
    yield from _under(_check_key(concurrency.key, spec, scope), "concurrency", "key")
    if throttle is None:
        return
    yield from _under(_check_key(throttle.key, spec, scope), "throttle", "key")
    if throttle.per == timedelta(0):
        yield Finding(("throttle", "per"), "should be longer than 0s")


def _check_allow_policy(spec: DefinitionSpec) -> Iterator[Finding]:
    """Yield the fields of `concurrency` that have no effect with the policy allow."""
    written = spec.concurrency.model_fields_set
    policy = "with policy allow" if "policy" in written else "without a policy"
    for name in sorted(written - {"policy"}):
        if name != "key" or not _has_ordered_events(spec):
            reason = f"has no effect {policy}: set policy to skip, queue or replace"
            yield Finding((name,), reason, at_key=True)


def _has_ordered_events(spec: DefinitionSpec) -> bool:
    """Whether a trigger has ordered events; their order is kept for each concurrency key."""
    extras = [trigger.model_extra or {} for trigger in spec.triggers]
    bodies = [extra.get(kind) for extra in extras for kind in EVENT_KINDS]
    return any(isinstance(body, dict) and body.get("ordered") is True for body in bodies)


def _check_key(key: str | None, spec: DefinitionSpec, scope: StaticScope) -> Iterator[Finding]:
    if key is None:
        return
    if not has_expression(key):
        yield Finding((), constant_key(key, "run"))
        return
    findings = _template_findings(key, scope)
    yield from findings
    if findings or any({*EVENT_KINDS}.intersection(each.kinds) for each in spec.triggers):
        return
    without_event = {name: known for name, known in scope.items() if name != "event"}
    for finding in _template_findings(key, without_event):
        yield replace(finding, reason="event is null: the definition has no event trigger")


def _templated_paths(value: JsonValue, path: Path) -> Iterator[Path]:
    match value:
        case str() if has_expression(value):
            yield path
        case dict():
            for key, child in value.items():
                if has_expression(key):
                    yield (*path, key)
                yield from _templated_paths(child, (*path, key))
        case list():
            for index, child in enumerate(value):
                yield from _templated_paths(child, (*path, index))


def _check_body(body: JsonValue, model: type[BaseModel]) -> list[Finding]:
    """Check a body against its model.

    A template may have a value of any type, so findings about its value do not count. Findings
    about its key do.
    """
    try:
        model.model_validate_json(json.dumps(body), context=WRITTEN)
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


def _check_block(block: StaticBlock, kinds: Kinds, scopes: Scopes) -> list[Finding]:
    """Check the tasks of a block, and all that are in them."""
    findings: list[Finding] = []
    for index, task in enumerate(block.templates):
        inside = scopes.task(block, task, in_body=True)
        found = _check_task(task, kinds, scopes.task(block, task), inside)
        found += check_flow(task, block)
        found += check_named_limit(task.limit, scopes.limits)
        for case, choice in enumerate(task.switch.cases if task.switch else ()):
            found += _check_condition(choice.when, inside, "switch", "cases", case, "when")
        if (repeat := task.repeat) is not None and repeat.until is not None:
            found += _check_condition(repeat.until, scopes.until(block, task), "repeat", "until")
        for path, inner in block.inside(task):
            found += _under(_check_block(inner, kinds, scopes), *path)
        findings += _under(found, index)
    return [*findings, *check_needs(block)]


def _check_task(
    task: TaskTemplate, kinds: Kinds, scope: StaticScope, inside: StaticScope
) -> list[Finding]:
    """Check a task without those in it; `inside` is the scope of its body."""
    findings = _check_kind(task, kinds.tasks) + _check_templates(task, inside, kinds.tasks)
    if COMMAND in task.kinds:
        body = (task.model_extra or {})[COMMAND]
        findings += _under(check_scripts(body, inside), COMMAND)
        if isinstance(body, Mapping):
            findings += _under(check_choices(body, trusted_names(task.for_each)), COMMAND)
    findings += _check_code(task)
    findings += _check_call(task, trusted_names(task.for_each))
    findings += check_plain_expressions(task, inside)
    findings += check_engine_task(task, scope["params"])
    findings += check_policies(task, kinds.reporting)
    if task.when is not None:
        findings += _check_condition(task.when, scope, "when")
    if task.for_each is not None:
        findings += _under(_template_findings(task.for_each, scope, _list_alone), "forEach")
        if isinstance(task.for_each, str) and not has_expression(task.for_each):
            reason = "should be a list, or a ${ … } whose value is a list"
            findings.append(Finding(("forEach",), reason))
    elif task.max_parallel is not None:
        findings.append(Finding(("maxParallel",), "has no effect without forEach", at_key=True))
    return findings


def _check_code(item: Kinded) -> list[Finding]:
    return [
        finding.under(kind)
        for kind, body in (item.model_extra or {}).items()
        for finding in check_verbatim(kind, body)
    ]


def _check_call(item: Kinded, trusted: frozenset[str]) -> list[Finding]:
    bodies = item.model_extra or {}
    return [
        finding
        for kind, field in URL_FIELDS.items()
        for finding in _under(check_credentials_of_calls(bodies.get(kind), trusted, field), kind)
    ]


def _check_templates(
    item: Kinded, scope: StaticScope, kinds: Mapping[str, type[BaseModel]]
) -> list[Finding]:
    """Check the expressions of an item, and each whole `${ … }` against the field it is in."""
    return [
        finding.under(kind)
        for kind in item.model_extra or {}
        for finding in _template_findings(
            with_expressions(kind, (item.model_extra or {})[kind]),
            scope,
            slots_of(kinds[kind]).kinds_at if kind in kinds else any_kind,
        )
    ]


def _check_condition(source: str, scope: StaticScope, *path: str | int) -> list[Finding]:
    return [
        Finding(path, problem.reason, problem.offset)
        for problem in check_meaning(source, scope, CONDITION)
    ]


def _template_findings(
    template: JsonValue, scope: StaticScope, wanted: WantedKinds = any_kind
) -> list[Finding]:
    return [
        Finding(
            problem.path,
            problem.reason,
            None if problem.at_key else problem.offset,
            at_key=problem.at_key,
        )
        for problem in check_template_meaning(template, scope, wanted)
    ]


def _list_alone(path: Path) -> CelKinds:
    """Return the kinds that `forEach` takes: a list, whose items may be anything."""
    return frozenset() if path else LIST
