"""Check manifest files without any server."""

from collections.abc import Mapping, Sequence

from activityctl.domain.gitops.set_checks import CheckedFiles
from activityctl.domain.manifests.calendar_references import (
    calendars_in_definition,
    calendars_in_overrides,
)
from activityctl.domain.manifests.checks import Kinds
from activityctl.domain.values.finding import Finding
from activityctl.errors import Problem
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.gitops.load import check_files
from activityctl.operations.looking.secret_users import users_in_files
from activityctl.ports import ManifestSource


@frozen_dataclass
class Validated:
    """One manifest that could be read; `note` says what could not be checked offline."""

    kind: str
    name: str
    file: str
    line: int
    is_valid: bool
    note: str | None = None


@frozen_dataclass
class Validation:
    """Every manifest that could be read, and every problem, in the order of the files."""

    objects: tuple[Validated, ...]
    problems: tuple[Problem, ...]
    secrets: Mapping[str, list[str]]
    """Who uses each secret that the manifests need."""


def validate(
    source: ManifestSource, paths: Sequence[str], kinds: Kinds, *, recursive: bool
) -> Validation:
    """Return every problem that `apply` would find offline; raise nothing for invalid manifests."""
    checked = check_files(source, paths, kinds, recursive=recursive)
    objects = [_validated(checked, kind, name) for kind, name in checked.manifests.locate]
    return Validation(
        tuple(sorted(objects, key=lambda validated: (validated.file, validated.line))),
        checked.problems,
        users_in_files(checked.manifests),
    )


def _validated(checked: CheckedFiles, kind: str, name: str) -> Validated:
    place = checked.manifests.locate[kind, name](Finding(("metadata", "name"), ""))
    is_valid = (kind, name) not in checked.faulty
    notes = [_definition_note(checked, name)] if kind == "Subscription" else []
    notes.append(_calendar_note(checked, kind, name))
    notes.append(_open_note(checked, kind, name))
    note = "; ".join(filter(None, notes)) or None
    return Validated(kind, name, place.file, place.line, is_valid, note)


def _definition_note(checked: CheckedFiles, name: str) -> str | None:
    activity = checked.manifests.subscriptions[name].spec.activity
    if activity in checked.unchecked_definitions:
        why = f"ActivityDefinition {activity!r} in these files has problems"
        return f"{why}; params and triggers were not all checked against it"
    faulty = (partial.value.metadata.name for _, partial, _ in checked.manifests.partials)
    if activity in checked.manifests.definitions or activity in faulty:
        return None
    why = f"ActivityDefinition {activity!r} is not among these files"
    return f"{why}; params and triggers were not checked against it"


def _open_note(checked: CheckedFiles, kind: str, name: str) -> str | None:
    if kind != "EventSource" or not checked.manifests.sources[name].spec.verify.is_open:
        return None
    return "accepts requests of anybody, because verify is none"


def _calendar_note(checked: CheckedFiles, kind: str, name: str) -> str | None:
    manifests, named = checked.manifests, frozenset[str]()
    if kind == "ActivityDefinition":
        named = calendars_in_definition(manifests.definitions[name].spec)
    elif kind == "Subscription":
        named = calendars_in_overrides(manifests.subscriptions[name].spec.triggers)
    if absent := sorted(named - manifests.calendars.keys()):
        listed = ", ".join(map(repr, absent))
        return f"Calendar {listed} is not among these files; triggers were not checked against it"
    return None
