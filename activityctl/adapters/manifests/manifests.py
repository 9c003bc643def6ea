"""Turns YAML files into a ManifestSet: checks kinds, fields and names, and keeps positions."""

import json
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from activityctl.adapters.manifests.files import FOLDERS_SEARCHED, SourceFile, read_files
from activityctl.adapters.manifests.shapes import Shapes
from activityctl.adapters.manifests.strict_yaml import YamlDocument, parse_documents
from activityctl.domain.gitops.manifest_set import Locate, ManifestSet
from activityctl.domain.manifests.calendar import DayCalendar
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.event_source import EventSource
from activityctl.domain.manifests.partial import Partial, read_partially
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.values.finding import Finding, Path, findings_of, unknown_field
from activityctl.domain.values.json_form import API_VERSION
from activityctl.domain.values.model import WRITTEN
from activityctl.domain.values.shared import Shared
from activityctl.errors import Problem

KINDS: Final[Mapping[str, type[BaseModel]]] = {
    "Calendar": DayCalendar,
    "EventSource": EventSource,
    "ActivityDefinition": ActivityDefinition,
    "Subscription": SubscriptionManifest,
}
_MARK: Final = API_VERSION.encode()
"""What every manifest contains. A search in many files parses only those that have it."""
ReadReferenced = Callable[[str, str], bytes]
"""Returns the content of the file that a manifest, by its file's name, refers to by a path.

Raises ValueError with the reason if the file cannot be read.
"""
_TOP: Final = ("apiVersion", "kind", "metadata", "spec")


@dataclass(slots=True)
class FilesRead:
    """The files that manifests were read from, in the order of reading."""

    manifests: list[tuple[str, bytes]] = field(default_factory=list)
    icals: dict[str, bytes] = field(default_factory=dict)
    """The iCalendar files that manifests refer to, by their path."""


class YamlManifests:
    """The ManifestSource port for files, folders, patterns and standard input."""

    def __init__(self) -> None:
        self.files_read = FilesRead()

    def read(self, paths: Sequence[str], *, recursive: bool) -> tuple[ManifestSet, list[Problem]]:
        """Return the manifests that match their schema, and every problem of all files."""
        files, problems = read_files(paths, recursive=recursive, stdin=sys.stdin.buffer)
        self.files_read.manifests = [(file.name, file.content) for file in files]
        return collect_manifests(files, problems, self._read_referenced)

    def _read_referenced(self, manifest: str, path: str) -> bytes:
        content = _read_from_disk(manifest, path)
        name = str(PurePosixPath(manifest).parent.joinpath(*PurePosixPath(path).parts))
        self.files_read.icals[name] = content
        return content

    def names_below(self, paths: Sequence[str]) -> dict[tuple[str, str], str]:
        """Return the file of each object in the folders and their subfolders, by kind and name.

        What cannot be read is left out, and so is what is beyond a thousand folders.
        """
        named = [path for path in paths if path != "-"]
        files, _ = read_files(named, recursive=True, stdin=None, most_folders=FOLDERS_SEARCHED)
        found: dict[tuple[str, str], str] = {}
        shapes = Shapes()
        for file in files:
            documents = shapes.parse(file.content, file.name)[0] if _MARK in file.content else ()
            for document in documents:
                value = document.value if isinstance(document.value, dict) else {}
                metadata, kind = value.get("metadata"), value.get("kind")
                name = metadata.get("name") if isinstance(metadata, dict) else None
                if isinstance(kind, str) and isinstance(name, str):
                    found.setdefault((kind, name), file.name)
        return found


def collect_manifests(
    files: Iterable[SourceFile], problems: Sequence[Problem], read_referenced: ReadReferenced
) -> tuple[ManifestSet, list[Problem]]:
    """Return the manifests of the files that match their schema, and all problems.

    `problems` are those that were found before. `read_referenced` reads the files that manifests
    refer to.
    """
    collected = _Collected(problems, read_referenced)
    shapes = Shapes()
    for file in files:
        documents, syntax_problems = shapes.parse(file.content, file.name)
        collected.problems += syntax_problems
        if not documents and not syntax_problems:
            reason = "no manifest in this file"
            collected.problems.append(Problem(file.name, 0, 0, "", reason, is_empty=True))
        for number, document in enumerate(documents):
            collected.add(document, _LateLocator(file, number))
    return collected.manifests(), collected.problems


def _read_from_disk(manifest: str, path: str) -> bytes:
    from activityctl.adapters.manifests.referenced_files import read_referenced_file

    return read_referenced_file(manifest, path)


class _Collected:
    """Collects manifests by kind and name, and the problems."""

    def __init__(self, problems: Sequence[Problem], read_referenced: ReadReferenced) -> None:
        self.problems = list(problems)
        self._read_referenced = read_referenced
        self._found: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        self._locate: dict[tuple[str, str], Locate] = {}
        self._first: dict[tuple[str, str], Locate] = {}
        self._shared = Shared()
        self._numbers: dict[tuple[str, str], Mapping[Path, str]] = {}
        self._partials: list[tuple[str, Partial[Any], Locate]] = []

    def add(self, document: YamlDocument, late: Locate) -> None:
        """Check a document against its schema and keep it; add the problems to the list.

        `late` locates what is found later, so that the positions of a sound document, which take
        much more memory than its text, are not kept.
        """
        locate = late if document.root is None else _locator(document)
        findings, model = _validate(document.value)
        if document.refused:
            findings = [
                finding for finding in findings if not _is_near(finding.path, document.refused)
            ]
            model = None
        if isinstance(model, DayCalendar):
            findings, model = _with_ical_days(model, document.file, self._read_referenced)
        self.problems += [locate(finding) for finding in findings]
        if model is None:
            self._add_partial(document, locate)
            return
        kind, name = document.value["kind"], model.metadata.name
        if self._is_first(kind, name, late):
            self._found[kind][name] = _with_shared_parts(model, self._shared)
            self._locate[kind, name] = late
            if document.numbers:
                self._numbers[kind, name] = document.numbers
        else:
            self._add_partial(document, locate)

    def _is_first(self, kind: str, name: str, locate: Locate) -> bool:
        """Return whether no other document defines it; if one does, add a problem."""
        first_locate = self._first.setdefault((kind, name), locate)
        if first_locate is locate:
            return True
        first, position = (
            each(Finding(("metadata", "name"), "")) for each in (first_locate, locate)
        )
        reason = f"{kind} {name!r} is already defined at {first.file}:{first.line}"
        self.problems.append(replace(position, reason=reason))
        return False

    def _add_partial(self, document: YamlDocument, locate: Locate) -> None:
        """Keep the sound rest of the document, so that its other problems are found too."""
        value = document.value
        model = _model_of(value)
        if model is None or model is DayCalendar:
            return
        content = {key: value[key] for key in ("metadata", "spec") if key in value}
        partial: Partial[Any] | None = read_partially(model, content, document.refused)
        if partial is None:
            return
        partial = replace(partial, numbers=document.numbers)
        self._partials.append((value["kind"], partial, locate))
        if ("metadata", "name") not in partial.lost:
            self._is_first(value["kind"], partial.value.metadata.name, locate)

    def manifests(self) -> ManifestSet:
        """Return the manifests that match their schema."""
        return ManifestSet(
            self._found["ActivityDefinition"],
            self._found["Subscription"],
            self._locate,
            self._found["Calendar"],
            self._numbers,
            tuple(self._partials),
            self._found["EventSource"],
        )


def _validate(value: Any) -> tuple[list[Finding], Any]:
    """Return what does not match the schema, and the model if everything does."""
    if not isinstance(value, dict):
        return [Finding((), "should be a mapping with apiVersion, kind, metadata and spec")], None
    findings = [
        Finding((key,), unknown_field(key, _TOP), at_key=True) for key in value if key not in _TOP
    ]
    findings += [
        Finding((), f"required field {key} is missing") for key in _TOP if key not in value
    ]
    if value.get("apiVersion", API_VERSION) != API_VERSION:
        findings.append(Finding(("apiVersion",), f"should be {API_VERSION}"))
    model = _model_of(value)
    if "kind" in value and model is None:
        findings.append(Finding(("kind",), f"unknown kind; write one of {', '.join(KINDS)}"))
    if model is None:
        return findings, None
    content = {key: value[key] for key in ("metadata", "spec") if key in value}
    try:
        parsed = model.model_validate_json(json.dumps(content), context=WRITTEN)
    except ValidationError as error:
        missing = {(key,) for key in _TOP if key not in value}
        invalid = findings_of(error, model)
        return findings + [finding for finding in invalid if finding.path not in missing], None
    return findings, None if findings else parsed


def _with_shared_parts(model: Any, shared: Shared) -> Any:
    """Return the model; what other such models also have, it shares with them.

    The three sets of written fields, labels and what is empty take half of its memory.
    """
    for part in (model, model.metadata, model.spec):
        written = _set_of(frozenset(part.model_fields_set))
        object.__setattr__(part, "__pydantic_fields_set__", written)
        for name, value in part.__dict__.items():
            if value == {} or name in {"labels", "annotations"}:
                part.__dict__[name] = shared.texts(value)
    return model


@lru_cache(maxsize=4096)
def _set_of(names: frozenset[str]) -> set[str]:
    return set(names)


def _model_of(value: Any) -> type[BaseModel] | None:
    kind = value.get("kind") if isinstance(value, dict) else None
    return KINDS.get(kind) if isinstance(kind, str) else None


def _is_near(path: Path, refused: Collection[Path]) -> bool:
    """Return whether a refused value at, above or below the path may have caused its finding."""
    return any(
        path[: len(other)] == other or (path and other[: len(path)] == path) for other in refused
    )


def _with_ical_days(
    calendar: DayCalendar, file: str, read_referenced: ReadReferenced
) -> tuple[list[Finding], DayCalendar | None]:
    """Return the calendar with the days of its iCalendar file, if it refers to one."""
    path = calendar.spec.ical
    if path is None:
        return [], calendar
    from activityctl.adapters.manifests.ical import read_days

    try:
        content = read_referenced(file, path)
    except ValueError as error:
        return [Finding(("spec", "ical"), str(error))], None
    try:
        return [], calendar.with_days(read_days(content))
    except ValueError as error:
        return [Finding(("spec", "ical"), f"{path} {error}")], None


def _locator(document: YamlDocument) -> Callable[[Finding], Problem]:
    def locate(finding: Finding) -> Problem:
        if finding.at_key:
            position = document.key_at(finding.path)
        elif finding.offset is not None:
            position = document.column_of(finding.path, finding.offset)
        else:
            position = document.value_at(finding.path)
        return Problem(
            document.file, position.line, position.column, _dotted(finding.path), finding.reason
        )

    return locate


class _LateLocator:
    """Finds positions in a document of a file by reading the file once more; it is small."""

    __slots__ = ("_file", "_number")

    def __init__(self, file: SourceFile, number: int) -> None:
        self._file = file
        self._number = number

    def __call__(self, finding: Finding) -> Problem:
        documents = _documents_of(self._file.content, self._file.name)
        return _locator(documents[self._number])(finding)


@lru_cache(maxsize=2)
def _documents_of(content: bytes, name: str) -> list[YamlDocument]:
    return parse_documents(content, name)[0]


def _dotted(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else part)
    return text
