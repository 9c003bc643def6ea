"""Which calendars definitions and subscriptions name; whether those exist is `calendar_check`'s."""

from collections.abc import Iterator, Mapping

from activityctl.domain.gitops.plan import Plan, Present
from activityctl.domain.manifests.calendar import calendars_named
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.values.model import JsonValue


def named_in_definition(spec: DefinitionSpec) -> frozenset[str]:
    """Return the calendars that the triggers of a definition name."""
    bodies = (body for trigger in spec.triggers for body in (trigger.model_extra or {}).values())
    return frozenset(name for body in bodies for name in calendars_named(body))


def named_in_overrides(overrides: Mapping[str, JsonValue]) -> frozenset[str]:
    """Return the calendars that a subscription's overrides of triggers name."""
    kinds = (one for one in overrides.values() if isinstance(one, dict))
    bodies = (body for kind in kinds for body in kind.values())
    return frozenset(name for body in bodies for name in calendars_named(body))


def uses_after(plan: Plan, present: Present) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield each object, as `kind name`, with the calendars it names once the plan is done."""
    gone = set(plan.deleted("ActivityDefinition"))
    specs = {name: one.spec for name, one in present.definitions.items() if name not in gone}
    specs |= {name: one.spec for name, one in plan.definitions.items()}
    for name, spec in sorted(specs.items()):
        yield f"definition {name}", named_in_definition(spec)
    leaving = set(plan.deleted("Subscription"))
    overrides = {
        name: one.triggers
        for name in present.subscriptions
        if name not in leaving and (one := present.live(name)) is not None
    }
    overrides |= {name: dict(one.spec.triggers) for name, one in plan.subscriptions.items()}
    for name, triggers in sorted(overrides.items()):
        yield f"subscription {name}", named_in_overrides(triggers)
