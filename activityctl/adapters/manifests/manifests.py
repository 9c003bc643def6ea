"""YAML files turned into a ManifestSet: kinds, shapes, names, and the place of everything."""

import json
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from activityctl.adapters.manifests.files import read_files
from activityctl.adapters.manifests.strict_yaml import YamlDocument, parse_documents
from activityctl.domain.gitops.manifest_set import Locate, ManifestSet
from activityctl.domain.manifests.calendar import DayCalendar
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.values.finding import Finding, Path, findings_of, unknown_field
from activityctl.domain.values.json_form import API_VERSION
from activityctl.errors import Problem

KINDS: Final[Mapping[str, type[BaseModel]]] = {
    "Calendar": DayCalendar,
    "ActivityDefinition": ActivityDefinition,
    "Subscription": SubscriptionManifest,
}
_TOP: Final = ("apiVersion", "kind", "metadata", "spec")


class YamlManifests:
    """The ManifestSource port over files, folders, globs and stdin."""

    def read(self, paths: Sequence[str], *, recursive: bool) -> tuple[ManifestSet, list[Problem]]:
        """Return the manifests of right shape, and every problem of all files."""
        files, problems = read_files(paths, recursive=recursive, stdin=sys.stdin.buffer)
        collected = _Collected(problems)
        for file in files:
            documents, found = parse_documents(file.content, file.name)
            collected.problems += found
            if not documents and not found:
                collected.problems.append(Problem(file.name, 0, 0, "", "holds no manifest"))
            for document in documents:
                collected.add(document)
        return collected.manifests(), collected.problems


class _Collected:
    """The manifests found so far, each under its kind and name."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        self._found: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        self._locate: dict[tuple[str, str], Locate] = {}
        self._places: dict[tuple[str, str], Problem] = {}

    def add(self, document: YamlDocument) -> None:
        """Check the document's shape and keep it; problems go to the list."""
        locate = _locator(document)
        findings, model = _shape(document.value)
        if document.refused:
            findings = [one for one in findings if not _is_near(one.path, document.refused)]
            model = None
        if isinstance(model, DayCalendar):
            findings, model = _with_events(model, document.file)
        self.problems += [locate(finding) for finding in findings]
        if model is None:
            return
        kind = document.value["kind"]
        key = (kind, model.metadata.name)
        if key in self._places:
            first = self._places[key]
            reason = f"{kind} {key[1]!r} stands already at {first.file}:{first.line}"
            self.problems.append(locate(Finding(("metadata", "name"), reason)))
            return
        self._found[kind][key[1]] = model
        self._locate[key] = locate
        self._places[key] = locate(Finding(("metadata", "name"), ""))

    def manifests(self) -> ManifestSet:
        """Return what is of right shape."""
        return ManifestSet(
            self._found["ActivityDefinition"],
            self._found["Subscription"],
            self._locate,
            self._found["Calendar"],
        )


def _shape(value: Any) -> tuple[list[Finding], Any]:
    """Return what is wrong with the document's shape, and its model when nothing is."""
    if not isinstance(value, dict):
        return [Finding((), "should be a mapping with apiVersion, kind, metadata, spec")], None
    findings = [
        Finding((key,), unknown_field(key, _TOP), at_key=True) for key in value if key not in _TOP
    ]
    findings += [
        Finding((), f"required field {key} is missing") for key in _TOP if key not in value
    ]
    if value.get("apiVersion", API_VERSION) != API_VERSION:
        findings.append(Finding(("apiVersion",), f"should be {API_VERSION}"))
    model = KINDS.get(value["kind"]) if isinstance(value.get("kind"), str) else None
    if "kind" in value and model is None:
        findings.append(Finding(("kind",), f"unknown kind; known: {', '.join(KINDS)}"))
    if model is None:
        return findings, None
    content = {key: value[key] for key in ("metadata", "spec") if key in value}
    try:
        parsed = model.model_validate_json(json.dumps(content))
    except ValidationError as error:
        missing = {(key,) for key in _TOP if key not in value}
        shown = findings_of(error, model)
        return findings + [finding for finding in shown if finding.path not in missing], None
    return findings, None if findings else parsed


def _is_near(path: Path, refused: Collection[Path]) -> bool:
    """Whether a finding at the path may come of what was refused at, above or below it."""
    return any(
        path[: len(place)] == place or (path and place[: len(path)] == path) for place in refused
    )


def _with_events(calendar: DayCalendar, file: str) -> tuple[list[Finding], DayCalendar | None]:
    """Return the calendar with the days of its iCalendar file, if it names one."""
    path = calendar.spec.ical
    if path is None:
        return [], calendar
    from activityctl.adapters.manifests.ical import read_days
    from activityctl.adapters.manifests.referenced_files import read_referenced_file

    try:
        content = read_referenced_file(file, path)
    except ValueError as error:
        return [Finding(("spec", "ical"), str(error))], None
    try:
        return [], calendar.with_days(read_days(content))
    except ValueError as error:
        return [Finding(("spec", "ical"), f"{path} {error}")], None


def _locator(document: YamlDocument) -> Callable[[Finding], Problem]:
    def locate(finding: Finding) -> Problem:
        if finding.at_key:
            place = document.key_at(finding.path)
        elif finding.offset is not None:
            place = document.column_of(finding.path, finding.offset)
        else:
            place = document.value_at(finding.path)
        return Problem(
            document.file, place.line, place.column, _dotted(finding.path), finding.reason
        )

    return locate


def _dotted(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else part)
    return text
