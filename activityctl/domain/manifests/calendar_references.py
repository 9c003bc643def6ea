"""Which calendars definitions and subscriptions name; `calendar_checks` checks that they exist."""

from collections.abc import Mapping

from activityctl.domain.manifests.calendar import calendars_named
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.values.model import JsonValue


def calendars_in_definition(spec: DefinitionSpec) -> frozenset[str]:
    """Return the calendars that the triggers of a definition name."""
    bodies = (body for trigger in spec.triggers for body in (trigger.model_extra or {}).values())
    return frozenset(name for body in bodies for name in calendars_named(body))


def calendars_in_overrides(overrides: Mapping[str, JsonValue]) -> frozenset[str]:
    """Return the calendars that the trigger overrides of a subscription name."""
    by_kind = (override for override in overrides.values() if isinstance(override, dict))
    bodies = (body for override in by_kind for body in override.values())
    return frozenset(name for body in bodies for name in calendars_named(body))
