"""Reads documents that differ only in plain words, without parsing each of them.

The subscriptions of one definition often do. The parser tells Python of each word and bracket of a
document, which took most of the time of reading thousands of them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Final

from activityctl.adapters.manifests.strict_yaml import MAX_BYTES, YamlDocument, parse_documents
from activityctl.adapters.manifests.unreadable_text import unreadable_problems
from activityctl.adapters.manifests.yaml_scalars import plain_value
from activityctl.errors import Problem
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import JsonValue

# Neither the structure of a document nor the end of a value depends on the letters of such a word:
# it starts with a letter or digit, has no sign that YAML knows, and is not long.
_WORD: Final = re.compile(r"(?<=: )([A-Za-z0-9][A-Za-z0-9_.-]{0,99})(?=[,}\n]|\Z)")
_MARKER: Final = "---\n"
_UNUSUAL: Final = re.compile(r"^(?:%|\.\.\.)", re.MULTILINE)
"""Directives, and the ends of documents: they can concern the documents around them."""
_GAP: Final = "\0"
"""Stands for a word in a shape; no text that is read has this character."""
_HOLE: Final = "hole-in-a-shape-"
_LONGEST: Final = 4_000
_MOST: Final = 500


@frozen_dataclass
class _Hole:
    """The place of a word in a shape."""

    index: int


class Shapes:
    """Remembers the shapes of the documents that it has read: their text without plain words.

    Two documents of one shape have the same structure, so only their words differ. A shape is
    learned when it comes for the second time: from a text with other words, which shows where in
    the value each of them is.
    """

    def __init__(self) -> None:
        self._known: dict[str, JsonValue] = {}
        """The value of each shape with holes; None if its words cannot be exchanged."""
        self._seen: set[str] = set()

    def parse(self, content: bytes, file: str) -> tuple[list[YamlDocument], list[Problem]]:
        """Return exactly what `parse_documents` returns; documents may have no positions."""
        documents = self._sound_documents(content, file)
        return parse_documents(content, file) if documents is None else (documents, [])

    def _sound_documents(self, content: bytes, file: str) -> list[YamlDocument] | None:
        """Return the documents; None if something in the file is refused or unusual."""
        if len(content) > MAX_BYTES:
            return None
        try:
            text = content.decode("utf-8").removeprefix("\ufeff")
        except UnicodeDecodeError:
            return None
        if unreadable_problems(text, file) or _UNUSUAL.search(text):
            return None
        documents: list[YamlDocument] = []
        for part in _parts(text):
            found = self._documents_of(part, file)
            if found is None:
                return None
            documents += found
        return documents

    def _documents_of(self, text: str, file: str) -> list[YamlDocument] | None:
        """Return the documents of a part of a file; None if it has problems."""
        pieces = _WORD.split(text) if len(text) <= _LONGEST else [text]
        shape = self._shape_of(pieces[::2])
        value = None if shape is None else _filled(shape, pieces[1::2])
        if value is not None:
            return [YamlDocument(value, file)]
        documents, problems = parse_documents(text.encode(), file)
        if problems:
            return None
        return [replace(document, root=None) for document in documents]

    def _shape_of(self, pieces: Sequence[str]) -> JsonValue:
        """Return the value with holes; None if the text around the words has none, or is new."""
        if len(pieces) < 2:  # noqa: PLR2004  # there is no word between them
            return None
        shape = _GAP.join(pieces)
        if shape in self._known:
            return self._known[shape]
        if shape in self._seen:
            self._known[shape] = _learned(pieces)
        elif len(self._seen) < _MOST:
            self._seen.add(shape)
        return self._known.get(shape)


def _parts(text: str) -> Iterator[str]:
    """Yield the parts between the lines that begin a document; a part may have none or several."""
    *parts, last = text.removeprefix(_MARKER).split(f"\n{_MARKER}")
    for part in (*(f"{part}\n" for part in parts), last):
        if part and not part.isspace():
            yield part


def _learned(pieces: Sequence[str]) -> JsonValue:
    """Return the value of the text with holes in place of words; None if they may not be values."""
    if any(_HOLE in piece for piece in pieces):
        return None
    holes = [f"{_HOLE}{index}" for index in range(len(pieces) - 1)]
    pairs = zip_longest(pieces, holes, fillvalue="")
    documents, problems = parse_documents("".join(f"{a}{b}" for a, b in pairs).encode(), "")
    if problems or len(documents) != 1 or documents[0].refused or documents[0].numbers:
        return None
    value = documents[0].value
    return _with_holes(value) if sorted(_holes_in(value)) == sorted(holes) else None


def _holes_in(value: JsonValue) -> Iterator[str]:
    """Yield each value that is a hole."""
    match value:
        case dict():
            for child in value.values():
                yield from _holes_in(child)
        case list():
            for child in value:
                yield from _holes_in(child)
        case str() if value.startswith(_HOLE):
            yield value


def _with_holes(value: JsonValue) -> JsonValue:
    match value:
        case dict():
            return {key: _with_holes(child) for key, child in value.items()}
        case list():
            return [_with_holes(child) for child in value]
        case str() if value.startswith(_HOLE):
            return _Hole(int(value.removeprefix(_HOLE)))
        case _:
            return value


def _filled(shape: JsonValue, words: Sequence[str]) -> JsonValue:
    """Return the value with these words; None if one is refused, or is no plain number."""
    values = []
    for word in words:
        value, reason = plain_value(word)
        if reason or (type(value) in {int, float} and repr(value) != word):
            return None
        values.append(value)
    return _built(shape, values)


def _built(shape: JsonValue, values: Sequence[JsonValue]) -> JsonValue:
    kind = type(shape)
    if kind is _Hole:
        return values[shape.index]
    if kind is dict:
        return {key: _built(child, values) for key, child in shape.items()}
    return [_built(child, values) for child in shape] if kind is list else shape
