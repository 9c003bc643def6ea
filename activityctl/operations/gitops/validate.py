"""Validate: what files hold and what is wrong with it, without any server."""

from collections.abc import Sequence
from dataclasses import dataclass

from activityctl.domain.gitops.set_checks import CheckedFiles
from activityctl.domain.manifests.calendar_references import (
    calendars_in_definition,
    calendars_in_overrides,
)
from activityctl.domain.manifests.checks import Kinds
from activityctl.domain.values.finding import Finding
from activityctl.errors import Problem
from activityctl.operations.gitops.load import check_files
from activityctl.ports import ManifestSource


@dataclass(frozen=True, slots=True)
class Validated:
    """One manifest of right shape; `note` says what could not be checked offline."""

    kind: str
    name: str
    file: str
    line: int
    is_valid: bool
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Validation:
    """Every manifest of right shape, and every problem, in the order of the files."""

    objects: tuple[Validated, ...]
    problems: tuple[Problem, ...]


def validate(
    source: ManifestSource, paths: Sequence[str], kinds: Kinds, *, recursive: bool
) -> Validation:
    """Return all that `apply` would find offline; nothing is raised for wrong manifests."""
    examined = check_files(source, paths, kinds, recursive=recursive)
    objects = [_validated(examined, kind, name) for kind, name in examined.manifests.locate]
    return Validation(
        tuple(sorted(objects, key=lambda one: (one.file, one.line))), examined.problems
    )


def _validated(examined: CheckedFiles, kind: str, name: str) -> Validated:
    place = examined.manifests.locate[kind, name](Finding(("metadata", "name"), ""))
    is_valid = (kind, name) not in examined.faulty
    notes = [_definition_note(examined, name)] if kind == "Subscription" else []
    notes.append(_calendar_note(examined, kind, name))
    note = "; ".join(filter(None, notes)) or None
    return Validated(kind, name, place.file, place.line, is_valid, note)


def _definition_note(examined: CheckedFiles, name: str) -> str | None:
    activity = examined.manifests.subscriptions[name].spec.activity
    if activity not in examined.manifests.definitions:
        why = f"ActivityDefinition {activity!r} is not among these files"
    elif activity in examined.unchecked_definitions:
        why = f"ActivityDefinition {activity!r} has problems in these itself"
    else:
        return None
    return f"{why}; params and triggers were not held against it"


def _calendar_note(examined: CheckedFiles, kind: str, name: str) -> str | None:
    manifests, named = examined.manifests, frozenset[str]()
    if kind == "ActivityDefinition":
        named = calendars_in_definition(manifests.definitions[name].spec)
    elif kind == "Subscription":
        named = calendars_in_overrides(manifests.subscriptions[name].spec.triggers)
    if absent := sorted(named - manifests.calendars.keys()):
        listed = ", ".join(map(repr, absent))
        return f"Calendar {listed} is not among these files; triggers were not held against it"
    return None
