"""Inputs of events: every framing, any size, any damage, constant memory."""

import io
import json
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from activityctl.adapters.manifests import event_stream
from activityctl.adapters.manifests.event_framing import ReadBuffer
from activityctl.adapters.manifests.event_items import read_items
from activityctl.adapters.manifests.event_stream import read_events
from activityctl.domain.events.envelope import MAX_EVENT_BYTES
from activityctl.domain.events.input import InvalidEvent, ParsedEvent

EVENTS = st.lists(
    st.dictionaries(
        st.sampled_from(["a", "ü", "\n", '"', "\\", "{["]),
        st.recursive(
            st.integers(-(2**63), 2**64 - 1) | st.text('x"\\{}[],\n€', max_size=5) | st.none(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("a]"), inner),
            max_leaves=5,
        ),
        min_size=1,
        max_size=3,
    ),
    max_size=5,
)
FRAGMENTS = st.lists(
    st.sampled_from(
        [
            *(b"[", b"]", b"{", b"}", b",", b'"', b"\\", b"\n", b"\r\n", b" ", b"x", b"NaN"),
            *(b'{"a":1}', b'{"a":[{}]}', b'{"a": "x', b"1e999"),
            *(b"\xc3\xbc", b"\xff", b"\xef\xbb\xbf"),
        ]
    ),
    max_size=30,
).map(b"".join)
STYLES: dict[str, Callable[[list[Any]], str]] = {
    "lines": lambda items: "\n".join(map(json.dumps, items)),
    "lines of Windows": lambda items: "".join(f"{json.dumps(item)} \r\n\r\n" for item in items),
    "an array": json.dumps,
    "an array on many lines": lambda items: json.dumps(items, indent=1, ensure_ascii=False),
    "many lines each": lambda items: "\n".join(json.dumps(item, indent=2) for item in items),
    "no line at all": lambda items: " ".join(map(json.dumps, items)),
}


class Pieces(io.RawIOBase):
    """A stream that returns one piece for each read, as a pipe does."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces: Iterator[bytes] = iter(pieces)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        del size
        return next(self._pieces, b"")


def read(text: str | bytes) -> list[ParsedEvent | InvalidEvent]:
    encoded = text.encode() if isinstance(text, str) else text
    return list(read_events(io.BytesIO(encoded), "events.json"))


def seen(text: str | bytes) -> list[Any]:
    """Return the value of each event, or the text of its problem."""
    return [
        str(item.problem) if isinstance(item, InvalidEvent) else item.value for item in read(text)
    ]


def numbers(items: list[ParsedEvent | InvalidEvent]) -> list[int]:
    return [item.number if isinstance(item, InvalidEvent) else item.origin.number for item in items]


@pytest.mark.parametrize("style", STYLES)
@given(items=EVENTS)
def test_events_are_read_in_order_in_every_framing(style: str, items: list[Any]) -> None:
    found = read(STYLES[style](items))
    assert [item.value for item in found if isinstance(item, ParsedEvent)] == items
    assert numbers(found) == list(range(1, len(items) + 1))


@given(FRAGMENTS, st.lists(st.integers(1, 7), max_size=60))
@example(b'{"a": "\\"}"}{"b": 1}', [1] * 20)
@example(b'[{"a": "\\\\"}, {"b": 1}]', [1] * 24)
@example(b'[{"a": "\\\n"}, {"b": 1}]', [1] * 24)
@example(b'{"a": "x\n{"a":1}\n{"a":1}', [1] * 24)
def test_the_size_of_the_reads_makes_no_difference(text: bytes, sizes: list[int]) -> None:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(text[at : at + size])
        at += size
    pieces = [piece for piece in [*pieces, text[at:]] if piece]
    assert list(read_events(Pieces(pieces), "events.json")) == read(text)


ITEMS = st.lists(
    st.sampled_from(
        [
            *('{"a": 1}', '{"a":\n{"ü": ["]}"]}}', '{"a": "\\u00fc"}', '{"a": "\\n"}'),
            *('{"a": 1, "a": 2}', '{"a": 18446744073709551616}', '{"a": NaN}', "1e999"),
            *("", "12", "[]", "null", '{"a": "\\u0000"}', '{"a": "' + "é" * 40 + '"}'),
            *("x", "{} x", '{"a"}', "}"),
        ]
    ),
    min_size=3,
    max_size=12,
)


@given(ITEMS, st.sampled_from([",", ", ", " ,\n", ",\r\n\t"]), st.integers(1, 40))
def test_items_of_an_array_are_the_same_whether_they_are_in_memory_or_not(
    items: list[str], comma: str, size: int
) -> None:
    text = f"[{comma.join(items)}]".encode()
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert list(read_events(Pieces(pieces), "events.json")) == read(text)


def test_items_in_memory_are_looked_for_once_for_each_part_of_the_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[int] = []

    def counted(buffer: ReadBuffer, name: str, number: int) -> Iterator[Any]:
        calls.append(number)
        return (yield from read_items(buffer, name, number))

    monkeypatch.setattr(event_stream, "read_items", counted)
    assert len(read(b"[" + b"x," * 2_000 + b"{}]")) == 2_001
    assert len(calls) == 1


@given(FRAGMENTS | st.binary() | st.text('[]{}",:\\u0d8c1eE-.\n\0').map(str.encode))
def test_any_input_gives_events_or_problems(text: bytes) -> None:
    found = read(text)
    assert numbers(found) == list(range(1, len(found) + 1))
    for item in found:
        if isinstance(item, InvalidEvent):
            assert item.problem.reason


@given(FRAGMENTS)
def test_in_json_lines_a_bad_line_does_not_affect_the_next(text: bytes) -> None:
    lines = [b'{"first": 1}', text.replace(b"\n", b" "), b'{"last": 1}']
    found = seen(b"\n".join(lines))
    assert (found[0], found[-1]) == ({"first": 1}, {"last": 1})


BAD = {
    '{"a": "\\u0000"}': ":2:8: the character NUL is not allowed",
    '{"a": "\\ud83d"}': ":2:8: a lone surrogate is not allowed",
    '{"a": NaN}': ":2:7: NaN is not JSON",
    '{"a": [1, -Infinity]}': ":2:11: -Infinity is not JSON",
    '{"a": 1, "b": {"c": 1, "ü": 2, "c": 3}}': ':2:32: duplicate key "c"',
    '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}": ":2:70: nested deeper than 64 levels",
    '{"a":' * 100_000 + "1" + "}" * 100_000: ":2:321: nested deeper than 64 levels",
    '{"a": ' + "9" * 5_000 + "}": ":2:7: an integer with more than 4,000 digits",
    '{"a": 1e999}': ":2:7: the number 1e999 is too large for a float",
    '{"a": 1 x}': ":2:9: not valid JSON",
    '{"a": "' + "x" * MAX_EVENT_BYTES + '"}': ":2:1: larger than 1,048,576 bytes",
}


@pytest.mark.parametrize(("bad", "problem"), BAD.items(), ids=range(len(BAD)))
def test_a_bad_event_has_a_position_and_the_next_event_is_read(bad: str, problem: str) -> None:
    started = time.perf_counter()
    in_lines = seen(f'{{"first": 1}}\n{bad}\n{{"last": 1}}\n')
    in_array = seen(f'[{{"first": 1}},\n{bad},\n{{"last": 1}}]')
    in_sequence = seen(f'{{"first":\n1}}{bad}\n{{"last": 1}}\n')
    assert time.perf_counter() - started < 20  # minutes if the cost grew with the square
    for found in (in_lines, in_array):
        assert (found[0], found[2:]) == ({"first": 1}, [{"last": 1}])
        assert found[1].startswith(f"events.json{problem}")
    assert (in_sequence[0], in_sequence[2:]) == ({"first": 1}, [{"last": 1}])
    assert problem.split(": ", 1)[1] in in_sequence[1]


@pytest.mark.parametrize(
    "bad", ["[" * 100_000, '{"a": ' * 100_000, '{"a": "x', '{"a": 1', "x", "]"]
)
@pytest.mark.parametrize("before", ["", '{"first": 1}\n'])
def test_in_json_lines_broken_brackets_do_not_affect_the_next_line(bad: str, before: str) -> None:
    bad = bad if before or not bad.startswith("[") else '{"a":' + bad
    found = seen(f'{before}{bad}\n{{"last": 1}}\n{{"last": 2}}')
    assert len(found) == (4 if before else 3)
    assert found[-2:] == [{"last": 1}, {"last": 2}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n\n", []),
        ("[]", []),
        (" [ ] \n", []),
        ("\ufeff[{}]", [{}]),
        ('\ufeff{"a":\n1}', [{"a": 1}]),
        (b'{"a": 1}\n{"a": "\xff"}\n{"a": 2}', [{"a": 1}, ":2:8: not valid UTF-8", {"a": 2}]),
        ("[{}, ]", [{}, ":1:6: expected an event before this"]),
        ("[, {}]", [":1:2: expected an event before this", {}]),
        ("[{}, {", [{}, ":1:6: this event is incomplete"]),
        ('[{}, {"a": "x', [{}, ":1:6: this event is incomplete"]),
        ("[{}", [{}, ":1:4: the array is not closed"]),
        ("[{},\n", [{}, ":2:1: the array is not closed"]),
        ("[", [":1:2: the array is not closed"]),
        ("[{}]\n[{}]", [{}, ":2:1: unexpected text after the end of the array"]),
        ("[{}}, {}]", [":1:4: not valid JSON: Extra data", {}]),
        ("[{} x {}, {}]", [":1:5: not valid JSON: Extra data", {}]),
        ('{"a":\n{"b": 1', [":1:1: this event is incomplete"]),
        ('{"a":\n1}\nx y {"b": 1}', [{"a": 1}, ":3:1: expected an event", {"b": 1}]),
        ('{\n "a": 1,\n x}\n', [":3:2: not valid JSON"]),
        ('{\n "id": 1\n}{"b": 1}\n{\n}', [{"id": 1}, {"b": 1}, {}]),
        ('{"a": 1},\n{"a": 2}', [":1:9: not valid JSON: Extra data", {"a": 2}]),
        ('{"a": 1}\x0c\n{}', [":1:9: not valid JSON: Extra data", {}]),
        ('{}\n{"a": 18446744073709551616}', [{}, {"a": "18446744073709551616"}]),
        ('{"a": [-9223372036854775809, 18446744073709551615]}',
         [{"a": ["-9223372036854775809", 2**64 - 1]}]),
        ("hello\n", [":1:1: not valid JSON"]),
        ("null", [None]),
    ],
)  # fmt: skip
def test_each_input_gives_these_events_and_problems(text: str | bytes, expected: list[Any]) -> None:
    found = seen(text)
    assert len(found) == len(expected)
    for item, wanted in zip(found, expected, strict=True):
        if isinstance(wanted, str):
            assert item.startswith(f"events.json{wanted}")
        else:
            assert item == wanted


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1}'.encode("utf-16"), "UTF-16 or UTF-32"),
        ('{"a": 1}'.encode("utf-16-le"), "UTF-16 or UTF-32"),
        ('{"a": 1}'.encode("utf-32-be"), "UTF-16 or UTF-32"),
        (b"\x1f\x8b\x08\x00", "compressed"),
    ],
)
def test_an_input_in_another_encoding_is_one_problem(text: bytes, reason: str) -> None:
    (refused,) = seen(text + b"\n\n\n")
    assert refused.startswith("events.json: ")
    assert reason in refused


def test_one_mebibyte_is_accepted_and_one_byte_more_is_not() -> None:
    most = '{"a": "' + "é" * ((MAX_EVENT_BYTES - 10) // 2) + 'x"}'
    assert len(most.encode()) == MAX_EVENT_BYTES
    more = most[:-2] + 'x"}'
    for text in (f"{most} \n {more}\n{{}}", f"[{most}\n, {more}\n, {{}}]", f"{most}{more}{{}}"):
        first, refused, last = read(text)
        assert isinstance(first, ParsedEvent)
        assert isinstance(refused, InvalidEvent)
        assert refused.problem.reason == "larger than 1,048,576 bytes"
        assert isinstance(last, ParsedEvent)
        assert numbers([first, refused, last]) == [1, 2, 3]


def test_the_framing_is_recognised_if_the_first_event_is_too_large() -> None:
    wide = '{"a": "' + "x" * 2 * MAX_EVENT_BYTES + '"}'
    tall = '{"a": [\n' + "1,\n" * MAX_EVENT_BYTES + "1]}"
    for text in (f"{wide}\n{{}}", f"[{wide}, {{}}]", f"{tall}\n{{\n}}", f"[{tall}, {{}}]"):
        refused, last = seen(text)
        assert refused.endswith("larger than 1,048,576 bytes")
        assert last == {}


def test_a_refused_event_has_the_position_of_its_start() -> None:
    _, _, read_event, last = read('[{},\n "ü", {}, {"a":\n1}]')
    assert isinstance(read_event, ParsedEvent)
    assert isinstance(last, ParsedEvent)
    assert (last.origin.line, last.origin.column) == (2, 11)
    event = read_event.origin
    assert (event.number, event.line, event.column, event.text) == (3, 2, 7, b"{}")
    assert str(event.refused("is missing", "type").problem) == "events.json:2:7: type: is missing"


def test_an_event_is_yielded_before_the_next_is_read() -> None:
    taken = []

    def pieces() -> Iterator[bytes]:
        for number in range(3):
            taken.append(number)
            yield b'{"a": 1}\n'

    events = read_events(Pieces(pieces()), "-")
    next(events)
    assert taken == [0]


@pytest.mark.parametrize("framing", ["lines", "array", "one endless event", "endless brackets"])
def test_memory_is_constant_for_any_length_of_input(framing: str) -> None:
    event = b'{"a": ["' + b"x" * 20_000 + b'"]}'
    begin, piece = {
        "lines": (b"", event + b"\n"),
        "array": (b"[" + event, b"," + event),
        "one endless event": (b'{"a": "', b"x" * 20_000),
        "endless brackets": (b'[{"a":', b"[[[],[]],        \n" * 50 + b" " * 19_000),
    }[framing]
    count = 3_000 if framing != "endless brackets" else 1_000
    stream = Pieces(piece if number else begin for number in range(count))
    tracemalloc.start()
    try:
        found = sum(1 for _ in read_events(stream, "-"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == {"lines": count - 1, "array": count + 1}.get(framing, 1)
    assert peak < 6 * MAX_EVENT_BYTES
