"""Checks a set of manifests, by itself and against the live objects.

Checks of a single object are in `manifests`. Files are read elsewhere.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Final

from activityctl.domain.bodies.slots import Slots, changed_texts
from activityctl.domain.gitops.activity_circles import circle_problems
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.gitops.plan import Present, Wanted, affected_subscriptions
from activityctl.domain.gitops.renames import rename_problems
from activityctl.domain.gitops.shared_names import shared_name_problems
from activityctl.domain.gitops.source_problems import partial_source_problems, source_problems
from activityctl.domain.manifests.calendar_checks import (
    never_starting_in_definition,
    never_starting_in_subscription,
    never_starting_reasons,
    unknown_in_definition,
    unknown_in_subscription,
)
from activityctl.domain.manifests.calendar_references import (
    calendars_in_definition,
    calendars_in_overrides,
)
from activityctl.domain.manifests.checks import Kinds, check_definition, check_subscription
from activityctl.domain.manifests.definition import DefinitionSpec, TriggerTemplate
from activityctl.domain.manifests.document import (
    Document,
    calendar_document,
    definition_document,
    source_document,
    subscription_document,
)
from activityctl.domain.manifests.literal_secrets import literal_secrets
from activityctl.domain.manifests.schema import document_schema
from activityctl.domain.manifests.subscription import SubscriptionSpec, effective_triggers
from activityctl.domain.timing.window import DaysByCalendar
from activityctl.domain.values.finding import Finding, Path
from activityctl.errors import InvalidManifestsError, Problem
from activityctl.frozen_dataclass import frozen_dataclass

_ANY_PARAMS: Final = {"type": "object", "additionalProperties": True}


@frozen_dataclass
class _Known:
    """What subscriptions are checked against: a definition, of which parts may be faulty."""

    spec: DefinitionSpec
    skipped: frozenset[Path] = frozenset()
    """The fields of a subscription that cannot be checked against the faulty parts."""

    def check(self, manifest: SubscriptionSpec, days: DaysByCalendar) -> list[Finding]:
        """Return everything that is wrong with a subscription to the definition."""
        found = check_subscription(manifest, self.spec)
        if not found and not self.skipped:
            found += never_starting_in_subscription(manifest, self.spec, days)
        return [finding for finding in found if not self._skips(finding.path)]

    def _skips(self, path: Path) -> bool:
        return any(path[: len(skipped)] == skipped for skipped in self.skipped)


@frozen_dataclass
class CheckedFiles:
    """The manifests of the files, and all problems in them."""

    manifests: ManifestSet
    """The manifests that fit the schema."""
    faulty: frozenset[tuple[str, str]]
    """The manifests, by (kind, name), that fit the schema but have another problem."""
    problems: tuple[Problem, ...]
    unchecked_definitions: frozenset[str] = frozenset()
    """Definitions with faulty params or triggers; no subscription was checked against them."""


def check_set(
    manifests: ManifestSet, kinds: Kinds, problems: Sequence[Problem] = ()
) -> CheckedFiles:
    """Return the manifests with every problem that can be found without a server.

    `problems` are those that were found while reading the files. A subscription is not checked
    against a definition whose params or triggers are faulty.
    """
    problems = list(problems)
    days = {name: calendar.days for name, calendar in manifests.calendars.items()}
    known: dict[str, _Known] = {}
    faulty: set[tuple[str, str]] = set()
    for name, definition in manifests.definitions.items():
        locate = manifests.locate["ActivityDefinition", name]
        findings = check_definition(definition.spec, kinds)
        findings += never_starting_in_definition(definition.spec, days)
        known[name] = _known(definition.spec, findings)
        if findings:
            faulty.add(("ActivityDefinition", name))
            problems += [locate(finding.under("spec")) for finding in findings]
    problems += _partial_definition_problems(manifests, kinds, days, known)
    for name, manifest in manifests.subscriptions.items():
        if found := _problems_of(manifests, name, known.get(manifest.spec.activity), days):
            faulty.add(("Subscription", name))
            problems += found
    problems += _partial_subscription_problems(manifests, days, known)
    by_source = source_problems(manifests)
    faulty |= {("EventSource", name) for name in by_source}
    problems += [problem for found in by_source.values() for problem in found]
    problems += partial_source_problems(manifests)
    for kind, name, document in _documents(manifests):
        if secrets := literal_secrets(document):
            faulty.add((kind, name))
            problems += [manifests.locate[kind, name](finding) for finding in secrets]
    changed = _changed_numbers(manifests, kinds)
    faulty |= changed.keys()
    problems += [problem for found in changed.values() for problem in found]
    problems += _changed_numbers_of_partials(manifests, kinds)
    problems += rename_problems(manifests)
    own = {name: definition.spec for name, definition in manifests.definitions.items()}
    problems += shared_name_problems(manifests, own)
    problems += circle_problems(manifests)
    unchecked = frozenset(name for name, each in known.items() if each.skipped)
    return CheckedFiles(manifests, frozenset(faulty), tuple(sorted(set(problems))), unchecked)


def _changed_numbers(manifests: ManifestSet, kinds: Kinds) -> dict[tuple[str, str], list[Problem]]:
    """Return the numbers that text would change, by the kind and name of their object."""
    slots_of = _slots_by_kind(kinds)
    found = {
        (kind, name): [
            manifests.locate[kind, name](finding)
            for finding in changed_texts(slots_of(kind), numbers)
        ]
        for (kind, name), numbers in manifests.numbers.items()
    }
    return {key: problems for key, problems in found.items() if problems}


def _changed_numbers_of_partials(manifests: ManifestSet, kinds: Kinds) -> list[Problem]:
    slots_of = _slots_by_kind(kinds)
    return [
        locate(finding)
        for kind, partial, locate in manifests.partials
        for finding in changed_texts(slots_of(kind), partial.numbers)
        if finding.path not in partial.lost
    ]


def _slots_by_kind(kinds: Kinds) -> Callable[[str], Slots]:
    """Return what gives the slots of a kind; the schema, 60 ms of work, is made once, if at all."""
    schema = cache(lambda: document_schema(kinds))
    return cache(lambda kind: Slots(schema(), kind))


def _known(
    spec: DefinitionSpec, findings: Sequence[Finding], lost: Collection[Path] = ()
) -> _Known:
    """Return the definition; `lost` are the paths in the spec that could not be read."""
    faulty = [*lost, *(finding.path for finding in findings)]
    skipped: set[Path] = {path[:1] for path in faulty if path in {("params",), ("triggers",)}}
    if any(path[:1] == ("params",) for path in faulty):
        skipped.add(("params",))
        spec = spec.model_copy(update={"params": _ANY_PARAMS})
    for finding in findings:
        match finding.path:
            case ("triggers", int() as index, *_):
                skipped.add(("triggers", spec.triggers[index].name))
            case _:
                pass
    return _Known(spec, frozenset(skipped))


def _partial_definition_problems(
    manifests: ManifestSet, kinds: Kinds, days: DaysByCalendar, known: dict[str, _Known]
) -> list[Problem]:
    """Return the problems of the sound rests of definitions; add these to the known ones."""
    problems: list[Problem] = []
    for kind, partial, locate in manifests.partials:
        if kind != "ActivityDefinition":
            continue
        spec, name = partial.value.spec, partial.value.metadata.name
        found = check_definition(spec, kinds) + never_starting_in_definition(spec, days)
        document = definition_document(partial.value.metadata, spec)
        whole = [*(finding.under("spec") for finding in found), *literal_secrets(document)]
        problems += [locate(finding) for finding in partial.findings(whole)]
        lost = [path[1:] for path in partial.lost if path[:1] == ("spec",)]
        made = _known(spec, found, lost)
        names = {("triggers", each) for each in partial.names}
        known.setdefault(name, _Known(made.spec, made.skipped | names))
    return problems


def _partial_subscription_problems(
    manifests: ManifestSet, days: DaysByCalendar, known: Mapping[str, _Known]
) -> list[Problem]:
    problems: list[Problem] = []
    for kind, partial, locate in manifests.partials:
        if kind != "Subscription":
            continue
        manifest = partial.value
        of = known.get(manifest.spec.activity)
        found = [] if of is None else of.check(manifest.spec, days)
        document = subscription_document(manifest.metadata, manifest.spec)
        whole = [*(finding.under("spec") for finding in found), *literal_secrets(document)]
        problems += [locate(finding) for finding in partial.findings(whole)]
    return problems


def _documents(manifests: ManifestSet) -> Iterator[tuple[str, str, Document]]:
    for name, definition in manifests.definitions.items():
        document = definition_document(definition.metadata, definition.spec)
        yield "ActivityDefinition", name, document
    for name, subscription in manifests.subscriptions.items():
        document = subscription_document(subscription.metadata, subscription.spec)
        yield "Subscription", name, document
    for name, calendar in manifests.calendars.items():
        yield "Calendar", name, calendar_document(calendar.metadata, calendar.days)
    for name, source in manifests.sources.items():
        yield "EventSource", name, source_document(source.metadata, source.spec)


def check_against(manifests: ManifestSet, present: Present, wanted: Wanted | None = None) -> None:
    """Check the set against the live objects; raise InvalidManifestsError with all problems.

    A changed definition must fit its live subscriptions that are not in the set, except for those
    that `wanted` prunes.
    """
    wanted = wanted or manifests.wanted
    specs = present.specs
    specs |= {name: definition.spec for name, definition in manifests.definitions.items()}
    days = _days_after(wanted, present)
    problems = _subscription_problems(manifests, specs, days)
    problems += _calendar_problems(manifests, days)
    problems += _stranded_triggers(manifests, present, days)
    problems += shared_name_problems(manifests, specs)
    for name, manifest in manifests.subscriptions.items():
        if manifest.spec.activity not in specs:
            locate = manifests.locate["Subscription", name]
            activity = manifest.spec.activity
            reason = (
                f"no ActivityDefinition {activity!r} in these files or among applied definitions"
            )
            problems.append(locate(Finding(("spec", "activity"), reason)))
    for subscription, spec in affected_subscriptions(wanted, present):
        live_spec = SubscriptionSpec(
            activity=subscription.definition,
            params=subscription.params,
            triggers=subscription.triggers,
        )
        locate = manifests.locate["ActivityDefinition", subscription.definition]
        problems += [
            locate(
                Finding(
                    ("spec",),
                    f"breaks subscription {subscription.name!r}: "
                    f"{'.'.join(map(str, finding.path))}: {finding.reason}",
                )
            )
            for finding in (
                *check_subscription(live_spec, spec),
                *never_starting_in_subscription(live_spec, spec, days),
            )
        ]
    if problems:
        raise InvalidManifestsError(problems)


def _subscription_problems(
    manifests: ManifestSet, specs: Mapping[str, DefinitionSpec], days: DaysByCalendar
) -> list[Problem]:
    return [
        problem
        for name, manifest in manifests.subscriptions.items()
        for problem in _problems_of(
            manifests,
            name,
            _Known(specs[manifest.spec.activity]) if manifest.spec.activity in specs else None,
            days,
        )
    ]


def _problems_of(
    manifests: ManifestSet, name: str, known: _Known | None, days: DaysByCalendar
) -> list[Problem]:
    """Return the problems of a subscription with its definition; none when it is not known."""
    if known is None:
        return []
    found = known.check(manifests.subscriptions[name].spec, days)
    return [manifests.locate["Subscription", name](finding.under("spec")) for finding in found]


def _days_after(wanted: Wanted, present: Present) -> DaysByCalendar:
    """Return the days of every calendar that exists after the plan."""
    kept = {
        name: calendar.days
        for name, calendar in present.calendars.items()
        if not wanted.prunes(calendar.applyset)
    }
    return {**kept, **{name: calendar.days for name, calendar in wanted.calendars.items()}}


def _calendar_problems(manifests: ManifestSet, days: DaysByCalendar) -> list[Problem]:
    """Return problems with unknown calendars, and triggers of definitions that never start."""
    problems = []
    for name, definition in manifests.definitions.items():
        found = unknown_in_definition(definition.spec, days)
        found += never_starting_in_definition(definition.spec, days)
        problems += _located(manifests, "ActivityDefinition", name, found)
    for name, manifest in manifests.subscriptions.items():
        unknown = unknown_in_subscription(manifest.spec, days)
        problems += _located(manifests, "Subscription", name, unknown)
    return problems


def _stranded_triggers(
    manifests: ManifestSet, present: Present, days: DaysByCalendar
) -> list[Problem]:
    """Return changed calendars after which a live trigger outside the set never starts again."""
    problems = []
    for name, calendar in manifests.calendars.items():
        current = present.calendars.get(name)
        if current is None or current.days == calendar.days:
            continue
        for label, triggers in _live_users(name, manifests, present):
            for trigger, reason in never_starting_reasons(triggers, days).items():
                text = f"breaks trigger {trigger!r} of {label}: {reason}"
                problems.append(manifests.locate["Calendar", name](Finding(("spec",), text)))
    return problems


def _live_users(
    calendar: str, manifests: ManifestSet, present: Present
) -> Iterator[tuple[str, Sequence[TriggerTemplate]]]:
    """Yield the live objects outside the set that use the calendar, with their triggers."""
    for name, definition in sorted(present.definitions.items()):
        if name not in manifests.definitions and calendar in calendars_in_definition(
            definition.spec
        ):
            yield f"definition {name!r}", definition.spec.triggers
    for name in sorted(present.subscriptions.keys() - manifests.subscriptions.keys()):
        subscription = present.live(name)
        if subscription is not None and calendar in calendars_in_overrides(subscription.triggers):
            spec = present.definitions[subscription.definition].spec
            yield f"subscription {name!r}", effective_triggers(spec, subscription.triggers)


def _located(
    manifests: ManifestSet, kind: str, name: str, findings: Sequence[Finding]
) -> list[Problem]:
    return [manifests.locate[kind, name](finding.under("spec")) for finding in findings]
