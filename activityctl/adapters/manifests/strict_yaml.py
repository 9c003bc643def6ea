"""YAML text into plain values, strictly, every node with its place; files are read elsewhere."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import isinf
from typing import Any, Final, NamedTuple, TypeAlias

import yaml

from activityctl.errors import Problem
from activityctl.ports import JsonValue

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 64
MAX_DIGITS: Final = 4_000
MAX_PROBLEMS: Final = 1_000
"""A file with more is not read further; nobody mends a thousand by hand."""
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Path: TypeAlias = Sequence[str | int]

# libyaml looks at each open bracket for each token, so its time grows with depth squared
# (100,000 open brackets: 11 s); deeper than this the rest of the file is left unread.
_GIVE_UP_DEPTH: Final = 4 * MAX_DEPTH
_SHOWN_LENGTH: Final = 60

# What YAML's reader refuses (YAML 1.1, section 5.1), and the three characters that are line
# breaks to YAML 1.1 and text to everybody else: U+0085, U+2028, U+2029.
_UNPRINTABLE: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]"
)
# libyaml compares each %TAG with all others: 80,000 of them take 12 s.
_TAG_DIRECTIVE: Final = re.compile("^%TAG", re.MULTILINE)
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_SIMPLE_KEY: Final = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)

_CONSTANTS: Final = {"true": True, "false": False, "null": None, "~": None, "": None}
# `y` and `n` are strings: PyYAML never took them for booleans, and they name coordinates.
_BOOLEANS: Final = frozenset({"yes", "no", "on", "off", "true", "false"})
_NUMBER_STARTS: Final = frozenset("+-.0123456789")
_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*+)")
_FLOAT: Final = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?")
# What YAML 1.1 or 1.2 reads as a number and JSON does not, by the name of the habit; possessive
# repeats, so that a long text costs no backtracking.
_ODD_NUMBERS: Final = tuple(
    (re.compile(pattern), habit)
    for pattern, habit in (
        (r"[-+]?0[xX][0-9a-fA-F_]++", "a hexadecimal number"),
        (r"[-+]?0[bB][01_]++", "a binary number"),
        (r"[-+]?0(?:[oO][0-7_]++|[0-9]++)", "an octal number"),
        (r"[-+]?[0-9][0-9_]*+(?::[0-5]?[0-9])++(?:\.[0-9_]*+)?", "a base-60 number"),
        (r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", "infinity or not-a-number"),
        (r"[-+]?[0-9]++_[0-9_]*+(?:\.[0-9_]*+)?", "a number with underscores"),
        (
            r"[-+]?(?:[0-9][0-9_]*+(?:\.[0-9_]*+)?|\.[0-9][0-9_]*+)(?:[eE][-+]?[0-9]++)?",
            "a number in a form that JSON does not have",
        ),
    )
)


class Position(NamedTuple):
    """A place in a file; line and column count from 1, columns in characters."""

    line: int
    column: int


_LineColumn: TypeAlias = tuple[int, int]
_Children: TypeAlias = "dict[str, _NodePosition] | list[_NodePosition] | None"
_NodePosition: TypeAlias = tuple[int, int, int, int, int | None, _Children]
"""Where a node stands: line and column of its key (an item of a list: of the item), then of its
value; the columns from there to its text, None when the text is not as written; its children.
Plain and flat, since the garbage collector looks at all else again and again (twice the time)."""


@dataclass(frozen=True, slots=True)
class YamlDocument:
    """One document of a file, with the place of each of its nodes.

    A path is made of keys and indices from the document's root, `()` being the root. A path
    that does not exist stands for its nearest parent that does.
    """

    value: JsonValue
    file: str
    line: int
    _root: _NodePosition = field(repr=False, compare=False)
    refused: frozenset[tuple[str | int, ...]] = frozenset()
    """Where something was refused: what the value has there is not what is written."""

    def key_at(self, path: Path) -> Position:
        """Return where the key of an entry starts; for an item of a list, the item."""
        return Position(*self._spot(path)[:2])

    def value_at(self, path: Path) -> Position:
        """Return where a value starts: a quoted string at its quote, a block scalar at its `|`."""
        return Position(*self._spot(path)[2:4])

    def column_of(self, path: Path, offset: int) -> Position:
        """Return where the character `offset` (from 0) of a string stands.

        Exact for a plain or quoted string on one line without escapes; else the string's start.
        """
        _, _, line, column, shift, _ = self._spot(path)
        return Position(line, column if shift is None else column + shift + offset)

    def _spot(self, path: Path) -> _NodePosition:
        spot = self._root
        for part in path:
            match spot[5], part:
                case dict() as entries, str() if part in entries:
                    spot = entries[part]
                case list() as items, int() if 0 <= part < len(items):
                    spot = items[part]
                case _:
                    return (*spot[:4], None, spot[5])
        return spot


def parse_documents(text: bytes, file: str) -> tuple[list[YamlDocument], list[Problem]]:
    """Return the documents and their problems; those in order have nothing refused.

    Refuses what YAML lets slip (DESIGN, section 2). A syntax error ends the file and leaves its
    document out, as do the limits; an empty document is skipped. Never raises.
    """
    if len(text) > MAX_BYTES:
        return [], [Problem(file, 0, 0, "", "larger than 1 MiB")]
    try:
        decoded = text.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = text[: error.start].decode("utf-8")
        return [], [Problem(file, *_position_at(before, len(before)), "", "not UTF-8")]
    if problems := _unreadable(decoded, file):
        return [], problems
    return _YamlReader(decoded, file).read()


def path_text(path: Path) -> str:
    """Return a path as problems show it: `spec.tasks[0].http`, odd keys as `["a b"]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif len(part) <= _SHOWN_LENGTH and _SIMPLE_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{_shown(part)}]"
    return text


def _position_at(text: str, index: int) -> _LineColumn:
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


def _shown(text: str) -> str:
    """Return a text quoted and cut to a length that suits a message."""
    if len(text) > _SHOWN_LENGTH:
        text = text[:_SHOWN_LENGTH] + "…"
    return json.dumps(text, ensure_ascii=False)


def _unreadable(text: str, file: str) -> list[Problem]:
    """Return the characters and directives that must not reach the parser."""
    problems: list[Problem] = []
    for found in chain(_UNPRINTABLE.finditer(text), _TAG_DIRECTIVE.finditer(text)):
        place = _position_at(text, found.start())
        if len(problems) == MAX_PROBLEMS:
            return [*problems, _too_many(file, place)]
        is_directive = len(found[0]) > 1
        what = "tags are" if is_directive else f"the bare character U+{ord(found[0]):04X} is"
        problems.append(Problem(file, *place, "", f"{what} not allowed"))
    return problems


def _too_many(file: str, place: _LineColumn) -> Problem:
    return Problem(file, *place, "", f"more than {MAX_PROBLEMS} problems; not read further")


class _GaveUpError(Exception):
    """The rest of the file is not read; the reason stands among the problems."""


class _YamlReader:
    """One file on its way from parser events to documents and problems."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._problems: list[Problem] = []
        self._path: list[str | int] = []
        self._refused: list[tuple[str | int, ...]] = []
        self._events: Iterator[Any] = yaml.parse(text, Loader=LOADER)

    def read(self) -> tuple[list[YamlDocument], list[Problem]]:
        documents: list[YamlDocument] = []
        try:
            for event in self._events:
                if type(event) is yaml.DocumentStartEvent:
                    documents += self._document()
        except yaml.MarkedYAMLError as error:
            self._problems.append(self._syntax_problem(error))
        except (yaml.YAMLError, ValueError, OverflowError):
            # The pure parser hands escapes such as "\UFFFFFFFF" to chr().
            self._problems.append(Problem(self._file, 0, 0, "", "not valid YAML"))
        except _GaveUpError:
            pass
        return documents, self._problems

    def _document(self) -> list[YamlDocument]:
        """Return the document as the one item of a list, or nothing if empty."""
        self._refused = []
        event = next(self._events)
        is_empty = type(event) is yaml.ScalarEvent and not event.value and not event.style
        if is_empty and event.tag is None and event.anchor is None:
            return []
        place = _start_of(event)
        value, spot = self._node(event, place, 0)
        return [YamlDocument(value, self._file, place[0], spot, frozenset(self._refused))]

    def _node(self, event: Any, key: _LineColumn, depth: int) -> tuple[JsonValue, _NodePosition]:
        """Build the node that `event` opens; `key` is where its key stands."""
        kind = type(event)
        place = _start_of(event)
        self._check_properties(event, place)
        if kind is yaml.ScalarEvent:
            return self._scalar(event, place), (*key, *place, _shift_of(event), None)
        if kind is yaml.AliasEvent:
            return None, (*key, *place, None, None)
        if depth >= MAX_DEPTH:
            self._refuse(place, f"nested deeper than {MAX_DEPTH} levels")
            self._skip_collection()
            return None, (*key, *place, None, None)
        if kind is yaml.MappingStartEvent:
            entries, spots = self._mapping(depth + 1)
            return entries, (*key, *place, None, spots)
        items, children = self._sequence(depth + 1)
        return items, (*key, *place, None, children)

    def _check_properties(self, event: Any, place: _LineColumn) -> None:
        if type(event) is yaml.AliasEvent:
            self._refuse(place, "aliases are not allowed; write out what is meant")
            return
        if event.anchor is not None:
            self._refuse(place, "anchors are not allowed")
        if event.tag is not None:
            self._refuse(place, "tags are not allowed")

    def _sequence(self, depth: int) -> tuple[list[JsonValue], list[_NodePosition]]:
        items: list[JsonValue] = []
        spots: list[_NodePosition] = []
        path = self._path
        for event in self._events:
            if type(event) is yaml.SequenceEndEvent:
                break
            path.append(len(items))
            value, spot = self._node(event, _start_of(event), depth)
            path.pop()
            items.append(value)
            spots.append(spot)
        return items, spots

    def _mapping(self, depth: int) -> tuple[dict[str, JsonValue], dict[str, _NodePosition]]:
        entries: dict[str, JsonValue] = {}
        spots: dict[str, _NodePosition] = {}
        path = self._path
        for event in self._events:
            if type(event) is yaml.MappingEndEvent:
                break
            path.append(event.value if type(event) is yaml.ScalarEvent else "?")
            place = _start_of(event)
            key = self._key(event, place)
            if key is not None and key in spots:
                line, column = spots[key][:2]
                self._refuse(place, f"the key stands twice, first at line {line}, column {column}")
            value, spot = self._node(next(self._events), place, depth)
            path.pop()
            if key is not None:
                entries.setdefault(key, value)
                spots.setdefault(key, spot)
        return entries, spots

    def _key(self, event: Any, place: _LineColumn) -> str | None:
        """Return a mapping's key; None, with a problem, when it is no string."""
        self._check_properties(event, place)
        if isinstance(event, yaml.CollectionStartEvent):
            self._refuse(place, "a key must be a string")
            self._skip_collection()
        if type(event) is not yaml.ScalarEvent:
            return None
        if event.value == "<<" and not event.style:
            self._refuse(place, "merge keys (<<) are not allowed")
            return None
        before = len(self._problems)
        key = self._scalar(event, place)
        if isinstance(key, str):
            return key
        if len(self._problems) == before:
            self._refuse(place, f"a key must be a string; write it as {_shown(event.value)}")
        return None

    def _scalar(self, event: Any, place: _LineColumn) -> JsonValue:
        """Return a scalar's value; None, with a problem, when it is refused."""
        text: str = event.value
        if not event.style:
            value, reason = _plain(text)
            if reason:
                self._refuse(place, reason)
            return value
        if event.style == '"' and (found := _UNSTORABLE.search(text)):
            name = "NUL" if found[0] == "\0" else "of a lone surrogate"
            self._refuse(place, f"the character {name} is not allowed")
        return text

    def _skip_collection(self) -> None:
        """Read past the collection whose start was just read."""
        depth = 1
        while depth:
            event = next(self._events)
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > _GIVE_UP_DEPTH:
                raise _GaveUpError

    def _refuse(self, place: _LineColumn, reason: str) -> None:
        if len(self._problems) >= MAX_PROBLEMS:
            self._problems.append(_too_many(self._file, place))
            raise _GaveUpError
        self._problems.append(Problem(self._file, *place, path_text(self._path), reason))
        self._refused.append(tuple(self._path))

    def _syntax_problem(self, error: yaml.MarkedYAMLError) -> Problem:
        mark = error.problem_mark or error.context_mark
        if mark is None:
            return Problem(self._file, 0, 0, "", _syntax_reason(error, ""))
        reason = _syntax_reason(error, self._text[mark.index : mark.index + 1])
        return Problem(self._file, mark.line + 1, mark.column + 1, "", reason)


def _start_of(event: Any) -> _LineColumn:
    mark = event.start_mark
    return mark.line + 1, mark.column + 1


def _shift_of(event: Any) -> int | None:
    """Return the columns before a scalar's text, when the text stands there as it reads."""
    start, end = event.start_mark, event.end_mark
    if start.line != end.line:
        return None
    quotes = 2 if event.style else 0
    return quotes // 2 if end.index - start.index == len(event.value) + quotes else None


def _plain(text: str) -> tuple[JsonValue, str]:
    """Return the value of a plain scalar and why it is refused, empty if it is not."""
    if text in _CONSTANTS:
        return _CONSTANTS[text], ""
    if text[0] in _NUMBER_STARTS:
        return _number(text)
    word = text.lower() if len(text) <= len("false") else text
    if word in _BOOLEANS:
        return None, f"{text} is ambiguous; write true or false, or quote it"
    if word == "null":
        return None, f"{text} is ambiguous; write null, or quote it"
    return text, ""


def _number(text: str) -> tuple[JsonValue, str]:
    if _INTEGER.fullmatch(text):
        if len(text.lstrip("-")) > MAX_DIGITS:
            return None, f"a number of more than {MAX_DIGITS:,} digits; quote it"
        return int(text), ""
    if _FLOAT.fullmatch(text):
        value = float(text)
        return (None, "a number too large for a float; quote it") if isinf(value) else (value, "")
    for pattern, habit in _ODD_NUMBERS:
        if pattern.fullmatch(text):
            shown = _shown(text)[1:-1]
            return None, f"{shown} can be read as {habit}; write it in decimals, or quote it"
    return text, ""


def _syntax_reason(error: yaml.MarkedYAMLError, character: str) -> str:
    """Return PyYAML's words as one line, the common ones as what to do."""
    problem = error.problem or ""
    if "cannot start any token" in problem:
        if character == "\t":
            return "a tab cannot indent; use spaces"
        return f"the character {_shown(character)} cannot start a value; quote the value"
    if problem == "found invalid Unicode character escape code":
        return "an escape of a surrogate or of no character; write the character itself"
    words = ", ".join(part for part in (error.context, problem) if part)
    return f"not valid YAML: {' '.join(words.split())}"
