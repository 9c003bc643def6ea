"""Parses YAML strictly into plain values, and keeps the position of every node."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, Final, NamedTuple, TypeAlias

import yaml

from activityctl.adapters.manifests.surrogate_pairs import SurrogatePairs
from activityctl.adapters.manifests.unreadable_text import (
    MAX_PROBLEMS,
    TAGS_REFUSED,
    position_at,
    too_many,
    unreadable_problems,
)
from activityctl.adapters.manifests.yaml_errors import QUOTE_BRACES, syntax_problem
from activityctl.adapters.manifests.yaml_scalars import SHOWN_LENGTH, plain_value, quoted
from activityctl.errors import Problem
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import JsonValue

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 64
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Path: TypeAlias = Sequence[str | int]

# For each token, libyaml checks every open bracket, so its time grows with the square of the depth
# (100,000 open brackets: 11 s). At this depth the rest of the file is not read.
_GIVE_UP_DEPTH: Final = 4 * MAX_DEPTH
_NOT_UTF8: Final = "not valid UTF-8; save the file as UTF-8"

_DOCUMENT: Final = re.compile(r"^---(?=\s|\Z)", re.MULTILINE)
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_NEXT: Final = re.compile(r"(?:\s|#[^\n]*)*+:?")
"""What follows a key: white space and comments, and its colon if it has one."""
_ALIASES_REFUSED: Final = "aliases are not allowed; write the value again, or quote a text with *"
_ANCHORS_REFUSED: Final = "anchors are not allowed; remove the anchor, or quote a text with &"
_TAGS_REFUSED: Final = "tags are not allowed; remove the tag, or quote a text with !"
_SIMPLE_KEY: Final = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)


class Position(NamedTuple):
    """A position in a file. Line and column count from 1, columns in characters."""

    line: int
    column: int


_LineColumn: TypeAlias = tuple[int, int]
_Children: TypeAlias = "dict[str, _NodePosition] | list[_NodePosition] | None"
_NodePosition: TypeAlias = tuple[int, int, int, int, int | None, _Children]
"""The position of a node: line and column of its key (for an item of a list: of the item), line
and column of its value, the columns from there to its text (None if the text is written in another
way than it reads), and its children. Plain tuples, because the garbage collector would check
objects again and again, which doubles the time."""


@frozen_dataclass
class YamlDocument:
    """One document of a file, with the position of each node.

    A path consists of keys and indices from the root of the document; `()` is the root. A path
    that does not exist has the position of its nearest parent that exists.
    """

    value: JsonValue
    file: str
    root: _NodePosition | None = field(default=None, repr=False, compare=False)
    """None if the positions are not known."""
    refused: frozenset[tuple[str | int, ...]] = frozenset()
    """Paths at which something was refused; there, the value differs from the file."""
    numbers: Mapping[tuple[str | int, ...], str] = field(default_factory=dict)
    """How a number is written in the file, where JSON writes it in another way: `3.10`, `1e3`."""

    def key_at(self, path: Path) -> Position:
        """Return where a key starts; for an item of a list, where the item starts."""
        return Position(*self._find(path)[:2])

    def value_at(self, path: Path) -> Position:
        """Return where a value starts: a quoted string at its quote, a block scalar at its `|`."""
        return Position(*self._find(path)[2:4])

    def column_of(self, path: Path, offset: int) -> Position:
        """Return the position of the character at `offset` (from 0) in a string.

        Exact for a plain or quoted string on one line without escapes; otherwise the start of the
        string.
        """
        _, _, line, column, shift, _ = self._find(path)
        return Position(line, column if shift is None else column + shift + offset)

    def _find(self, path: Path) -> _NodePosition:
        node = self.root
        assert node is not None, "the document has no positions"  # noqa: S101  # the caller's bug
        for part in path:
            match node[5], part:
                case dict() as entries, str() if part in entries:
                    node = entries[part]
                case list() as items, int() if 0 <= part < len(items):
                    node = items[part]
                case _:
                    return (*node[:4], None, node[5])
        return node


def parse_documents(text: bytes, file: str) -> tuple[list[YamlDocument], list[Problem]]:
    """Return the documents of a file, and its problems. Never raises.

    A document is valid if its `refused` is empty. Refused are anchors, aliases, tags, merge keys,
    duplicate keys, keys that are not strings, and scalars that YAML and JSON read differently
    (`yes`, `017`, `1:30`). A document with a syntax error is left out, and reading goes on with the
    next one. After a limit the rest of the file is not read. Empty documents are skipped.
    """
    if len(text) > MAX_BYTES:
        return [], [Problem(file, 0, 0, "", "larger than 1 MiB")]
    try:
        decoded = text.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = text[: error.start].decode("utf-8")
        return [], [Problem(file, *position_at(before, len(before)), "", _NOT_UTF8)]
    if problems := unreadable_problems(decoded, file):
        return [], problems
    documents: list[YamlDocument] = []
    problems, start, lines = [], 0, 0
    while len(problems) < MAX_PROBLEMS:
        reader = _YamlReader(decoded[start:], file, lines)
        found, refused = reader.read()
        documents += found
        problems += refused
        if reader.rest is None:
            break
        lines += decoded.count("\n", start, start + reader.rest)
        start += reader.rest
    return documents, problems


def path_text(path: Path) -> str:
    """Return a path as shown in problems: `spec.tasks[0].http`, other keys as `["a b"]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif len(part) <= SHOWN_LENGTH and _SIMPLE_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{quoted(part)}]"
    return text


class _GaveUpError(Exception):
    """The rest of the file is not read; the reason is one of the problems."""


class _YamlReader:
    """Turns the parser events of one file into documents and problems."""

    def __init__(self, text: str, file: str, lines_before: int = 0) -> None:
        self._text = text
        self._file = file
        self._lines_before = lines_before
        self._began = 0
        """The index at which the present document begins."""
        self.rest: int | None = None
        """The index of the document after the one with a syntax error, if there is one."""
        self._problems: list[Problem] = []
        self._path: list[str | int] = []
        self._refused: list[tuple[str | int, ...]] = []
        self._numbers: dict[tuple[str | int, ...], str] = {}
        self._pairs = SurrogatePairs(text)
        self._events: Iterator[Any] = yaml.parse(self._pairs.text, Loader=LOADER)
        if self._pairs.are_replaced:
            self._events = map(self._restored, self._events)

    def read(self) -> tuple[list[YamlDocument], list[Problem]]:
        documents: list[YamlDocument] = []
        try:
            for event in self._events:
                if type(event) is yaml.DocumentStartEvent:
                    self._began = _index(event.start_mark)
                    documents += self._document()
        except yaml.MarkedYAMLError as error:
            problem = self._syntax_problem(error)
            if (problem.line, QUOTE_BRACES) not in {(p.line, p.reason) for p in self._problems}:
                self._problems.append(problem)
            self.rest = self._next_document(error)
        except (yaml.YAMLError, ValueError, OverflowError):
            # PyYAML without libyaml gives escapes such as "\UFFFFFFFF" to chr().
            self._problems.append(Problem(self._file, 0, 0, "", "not valid YAML"))
        except _GaveUpError:
            pass
        return documents, self._problems

    def _next_document(self, error: yaml.MarkedYAMLError) -> int | None:
        """Return the index of the document after the one with the error."""
        mark = error.problem_mark or error.context_mark
        if mark is None:
            return None
        line = self._text.rfind("\n", 0, mark.index) + 1
        found = _DOCUMENT.search(self._text, max(line, self._began + 1))
        return found and found.start()

    def _restored(self, event: Any) -> Any:
        if type(event) is yaml.ScalarEvent:
            is_double_quoted = event.style == '"'
            event.value = self._pairs.restored(event.value, is_double_quoted=is_double_quoted)
        return event

    def _document(self) -> list[YamlDocument]:
        """Return a list with the document, or an empty list if the document is empty."""
        self._refused, self._numbers = [], {}
        event = next(self._events)
        is_empty = type(event) is yaml.ScalarEvent and not event.value and not event.style
        if is_empty and event.tag is None and event.anchor is None:
            return []
        position = self._start_of(event)
        value, node = self._node(event, position, 0)
        return [YamlDocument(value, self._file, node, frozenset(self._refused), self._numbers)]

    def _node(self, event: Any, key: _LineColumn, depth: int) -> tuple[JsonValue, _NodePosition]:
        """Build the node that starts with `event`; `key` is the position of its key."""
        kind = type(event)
        position = self._start_of(event)
        self._check_properties(event, position)
        if kind is yaml.ScalarEvent:
            return self._scalar(event, position), (*key, *position, _shift_of(event), None)
        if kind is yaml.AliasEvent:
            return None, (*key, *position, None, None)
        if depth >= MAX_DEPTH:
            self._refuse(position, f"nested deeper than {MAX_DEPTH} levels")
            self._skip_collection()
            return None, (*key, *position, None, None)
        if kind is yaml.MappingStartEvent:
            entries, nodes = self._mapping(depth + 1, is_flow=event.flow_style)
            return entries, (*key, *position, None, nodes)
        items, children = self._sequence(depth + 1)
        return items, (*key, *position, None, children)

    def _check_properties(self, event: Any, position: _LineColumn) -> None:
        if type(event) is yaml.AliasEvent:
            self._refuse(position, _ALIASES_REFUSED)
            return
        if event.anchor is not None:
            self._refuse(position, _ANCHORS_REFUSED)
        if event.tag is not None:
            self._refuse(position, TAGS_REFUSED)

    def _sequence(self, depth: int) -> tuple[list[JsonValue], list[_NodePosition]]:
        items: list[JsonValue] = []
        nodes: list[_NodePosition] = []
        path = self._path
        for event in self._events:
            if type(event) is yaml.SequenceEndEvent:
                break
            path.append(len(items))
            value, node = self._node(event, self._start_of(event), depth)
            path.pop()
            items.append(value)
            nodes.append(node)
        return items, nodes

    def _mapping(
        self, depth: int, *, is_flow: bool
    ) -> tuple[dict[str, JsonValue], dict[str, _NodePosition]]:
        entries: dict[str, JsonValue] = {}
        nodes: dict[str, _NodePosition] = {}
        path = self._path
        for event in self._events:
            if type(event) is yaml.MappingEndEvent:
                break
            path.append(event.value if type(event) is yaml.ScalarEvent else "?")
            position = self._start_of(event)
            key = self._key(event, position)
            if key is not None and key in nodes:
                line, column = nodes[key][:2]
                self._refuse(position, f"duplicate key, first used at line {line}, column {column}")
            content = next(self._events)
            if is_flow and key and (reason := self._no_value_reason(event, content)):
                self._refuse(position, reason)
            value, node = self._node(content, position, depth)
            path.pop()
            if key is not None:
                entries.setdefault(key, value)
                nodes.setdefault(key, node)
        return entries, nodes

    def _key(self, event: Any, position: _LineColumn) -> str | None:
        """Return a mapping's key; if it is not a string, add a problem and return None."""
        self._check_properties(event, position)
        if isinstance(event, yaml.CollectionStartEvent):
            index = _index(event.start_mark)
            is_braces = self._text[index - 1 : index + 1] == "{{"
            self._refuse(position, QUOTE_BRACES if is_braces else "a key must be a string")
            self._skip_collection()
        if type(event) is not yaml.ScalarEvent:
            return None
        if self._text.endswith("?", 0, _index(event.start_mark)):
            # Happens only within brackets. YAML 1.2 reads ?x as a text there, PyYAML as a key x.
            self._refuse(position, "a text that begins with ? must be quoted within brackets")
            return None
        if event.value == "<<" and not event.style:
            self._refuse(position, "merge keys (<<) are not allowed; write the keys out")
            return None
        before = len(self._problems)
        key = self._scalar(event, position)
        if isinstance(key, str):
            return key
        if len(self._problems) == before:
            self._refuse(position, f"a key must be a string; write {quoted(event.value)}")
        return None

    def _no_value_reason(self, key: Any, content: Any) -> str:
        """Return why a key within braces has no value, if there is not even a colon; else ''."""
        is_empty = type(content) is yaml.ScalarEvent and not content.value and not content.style
        if not is_empty or type(key) is not yaml.ScalarEvent or not key.value:
            return ""
        found = _NEXT.match(self._text, _index(key.end_mark))
        if found is not None and found[0].endswith(":"):
            return ""
        if not key.style and ":" in key.value:
            return "a key needs a space after its colon"
        return "a key without a value; write `key: value`, or quote the whole text"

    def _scalar(self, event: Any, position: _LineColumn) -> JsonValue:
        """Return a scalar's value; if it is refused, add a problem and return None."""
        text: str = event.value
        if not event.style:
            value, reason = plain_value(text)
            if reason:
                self._refuse(position, reason)
            elif type(value) in {int, float} and json.dumps(value) != text:
                self._numbers[tuple(self._path)] = text
            return value
        if event.style == '"' and (found := _UNSTORABLE.search(text)):
            name = "the character NUL" if found[0] == "\0" else "a lone surrogate"
            self._refuse(position, f"{name} is not allowed")
        return text

    def _skip_collection(self) -> None:
        """Skip the collection whose start event was just read."""
        depth = 1
        while depth:
            event = next(self._events)
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > _GIVE_UP_DEPTH:
                raise _GaveUpError

    def _start_of(self, event: Any) -> _LineColumn:
        mark = event.start_mark
        return self._lines_before + mark.line + 1, mark.column + 1

    def _refuse(self, position: _LineColumn, reason: str) -> None:
        if len(self._problems) >= MAX_PROBLEMS:
            self._problems.append(too_many(self._file, position))
            raise _GaveUpError
        self._problems.append(Problem(self._file, *position, path_text(self._path), reason))
        self._refused.append(tuple(self._path))

    def _syntax_problem(self, error: yaml.MarkedYAMLError) -> Problem:
        (line, column), reason = syntax_problem(error, self._text)
        return Problem(self._file, line and self._lines_before + line, column, "", reason)


def _index(mark: Any) -> int:
    """Return the number of characters before a mark."""
    index: int = mark.index
    return index


def _shift_of(event: Any) -> int | None:
    """Return the columns before a scalar's text; None if it is not written as it reads."""
    start, end = event.start_mark, event.end_mark
    if start.line != end.line:
        return None
    quotes = 2 if event.style else 0
    return quotes // 2 if end.index - start.index == len(event.value) + quotes else None
