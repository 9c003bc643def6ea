"""Reads what is sound of a document that does not fit its model, so that this is checked too.

Faulty parts are left out, or replaced where a name is needed. Findings about the rest that only
follow from this are left out as well.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import field, replace
from typing import Any, Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from activityctl.domain.values.finding import Finding, Path, findings_of
from activityctl.domain.values.model import WRITTEN, JsonValue
from activityctl.frozen_dataclass import frozen_dataclass

_Model = TypeVar("_Model", bound=BaseModel)
_MOST_ROUNDS: Final = 20
_MEANT: Final = re.compile(r"; did you mean '([^']+)'\?$")


@frozen_dataclass
class Partial(Generic[_Model]):
    """The sound rest of a document, and what it lacks."""

    value: _Model
    lost: frozenset[Path]
    """The paths that were left out or replaced, and those that a misspelt field may mean."""
    names: frozenset[str]
    """The names of what was left out; a finding that speaks of one may only follow from it."""
    content: JsonValue = None
    numbers: Mapping[Path, str] = field(default_factory=dict)
    """By path in the whole document: numbers that JSON writes in another way than the file."""
    _places: Mapping[Path, tuple[int, ...]] = field(default_factory=dict)
    """The former indices of the items of each list that is shorter now."""

    def findings(self, found: Iterable[Finding]) -> list[Finding]:
        """Return the findings about the value as findings about the whole document.

        Those that may only follow from what is left out are not among them.
        """
        moved = (replace(finding, path=_former(finding.path, self._places)) for finding in found)
        return [finding for finding in moved if not self._follows(finding)]

    def _follows(self, finding: Finding) -> bool:
        if any(_is_near(finding.path, lost) for lost in self.lost):
            return True
        return mentions(self.names, finding, self.content)


def mentions(names: Collection[str], finding: Finding, content: JsonValue) -> bool:
    """Return whether the finding, or the text that it is about, has one of these names."""
    text = f"{finding.reason} {finding.path[-1:]} {_text_at(content, finding.path)}"
    return any(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) for name in names)


def read_partially(
    model: type[_Model], content: JsonValue, lost: Collection[Path] = ()
) -> Partial[_Model] | None:
    """Return the sound rest of the content without `lost`; None when too little is left."""
    gone, replaced, names = set(lost), dict[Path, JsonValue](), set[str]()
    meant = set[Path]()
    for _ in range(_MOST_ROUNDS):
        places: dict[Path, tuple[int, ...]] = {}
        rest = _without(content, (), gone, replaced, places)
        try:
            value = model.model_validate_json(json.dumps(rest), context=WRITTEN)
        except ValidationError as error:
            for finding in findings_of(error, model):
                path = _former(finding.path, places)
                if (found := _MEANT.search(finding.reason)) is not None:
                    written = _value_at(content, path[:-1])
                    if isinstance(written, dict) and found[1] not in written:
                        meant.add((*path[:-1], found[1]))
                if not _leave_out(path, gone, replaced):
                    return None
        else:
            names.update(_names_of(content, {*gone, *replaced, *meant}))
            everything = frozenset({*gone, *replaced, *meant})
            return Partial(value, everything, frozenset(names), content, _places=places)
    return None


def _leave_out(path: Path, gone: set[Path], replaced: dict[Path, JsonValue]) -> bool:
    """Leave out one more value: the one at the path, or the nearest above that is still there."""
    if path[-1:] == ("name",) and path not in replaced:
        replaced[path] = f"unknown-{len(replaced)}"
        return True
    while path and path in {*gone, *replaced}:
        path = path[:-1]
    gone.add(path)
    return bool(path)


def _without(
    value: JsonValue,
    path: Path,
    gone: Collection[Path],
    replaced: Mapping[Path, JsonValue],
    places: dict[Path, tuple[int, ...]],
) -> Any:
    def inside(part: str | int) -> Any:
        here = (*path, part)
        return (
            replaced[here]
            if here in replaced
            else _without(value[part], here, gone, replaced, places)
        )

    match value:
        case dict():
            missing = [where[-1] for where in replaced if where[:-1] == path]
            keys = [*value, *(key for key in missing if key not in value)]
            return {key: inside(key) for key in keys if (*path, key) not in gone}
        case list():
            kept = tuple(index for index in range(len(value)) if (*path, index) not in gone)
            if len(kept) != len(value):
                places[path] = kept
            return [inside(index) for index in kept]
        case _:
            return value


def _former(path: Path, places: Mapping[Path, tuple[int, ...]]) -> Path:
    """Return the path in the whole document."""
    former: Path = ()
    for part in path:
        kept = places.get(former)
        is_moved = kept is not None and isinstance(part, int) and part < len(kept)
        former = (*former, kept[part] if is_moved and kept and isinstance(part, int) else part)
    return former


def _is_near(path: Path, lost: Path) -> bool:
    return path[: len(lost)] == lost or (bool(path) and lost[: len(path)] == path)


def _names_of(content: JsonValue, lost: Iterable[Path]) -> Iterator[str]:
    """Yield the names by which expressions and other fields refer to what was left out."""
    for path in lost:
        value = _value_at(content, path)
        if path[-1:] == ("name",) and isinstance(value, str):
            yield value
        if isinstance(value, dict) and isinstance(value.get("name"), str):
            yield value["name"]
        if path[:2] == ("spec", "params"):
            yield "params"
        elif len(path) == len(("spec", "tasks")) and isinstance(path[-1], str):
            yield path[-1]


def _value_at(content: JsonValue, path: Path) -> Any:
    for part in path:
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            return None
    return content


def _text_at(content: JsonValue, path: Path) -> str:
    value = _value_at(content, path)
    return value if isinstance(value, str) else ""
