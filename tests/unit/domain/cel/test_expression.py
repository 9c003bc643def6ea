import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activityctl.domain.cel.expression import (
    NAMES,
    check_expression,
    evaluate,
    evaluate_condition,
)
from activityctl.errors import ExpressionBudgetError, ExpressionError
from support.examples import examples

NOW = datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC)


def scope(event: Any, **others: Any) -> dict[str, Any]:
    return {"event": event, "now": NOW, **others}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abcé😀", max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("event.amount > 1000", True),
        ("event.count > 1000", True),
        ("event.count > 1000.5", True),
        ("event.count == 1001.0", True),
        ("event.huge > event.count", True),
        ("event.count in [1, 1001]", True),
        ("has(event.none)", True),
        ("has(event.missing)", False),
        ("event.none == null", True),
        ("event.tags.map(tag, tag.upperAscii()).join('-')", "A-B"),
        ("event.tags.filter(tag, tag != 'a')", ["b"]),
        ("event.tags.exists(tag, tag == 'b') || event.missing", True),
        ("tasks['my-task'].output", 7),
        ("event.map(event, event == 'tags' ? 1 : 0).exists(n, n == 1)", True),
        ("math.greatest(event.count, 5)", 1001),
        ("{'b': 1, 'a': [1, {'c': null}]}", {"a": [1, {"c": None}], "b": 1}),
        ("now", "2026-05-01T12:00:00.250000Z"),
        ("now - duration('12h')", "2026-05-01T00:00:00.250000Z"),
        ("timestamp('2026-01-01T02:00:00+02:00')", "2026-01-01T00:00:00Z"),
        ("duration('1m30s')", "90s"),
        ("duration('-1500ms')", "-1.5s"),
        ("b'\\xff\\x00'", "/wA="),
        ("base64.encode(b'hi')", "aGk="),
        ("18446744073709551615u", 2**64 - 1),
        ("'a\\u0000b'", "a\ufffdb"),
    ],
)
def test_values_are_returned_as_json(source: str, value: Any):
    event = {"amount": 1000.5, "count": 1001, "huge": 2**63, "none": None, "tags": ["a", "b"]}
    given_scope = scope(event, tasks={"my-task": {"output": 7}})
    result = evaluate(source, given_scope)
    assert result == value
    assert type(result) is type(value)


@given(JSON)
def test_data_is_returned_unchanged(value: Any):
    assert evaluate("event", {"event": value}) == value
    assert evaluate("[event][0]", {"event": value}) == value


def test_a_map_of_the_data_keeps_its_order_and_a_built_map_is_sorted():
    given_scope = scope({"z": 1, "a": {"y": 1, "b": 2}})
    assert list(evaluate("event", given_scope)) == ["z", "a"]
    assert list(evaluate("{'z': 1, 'a': 2, 'm': 3}", given_scope)) == ["a", "m", "z"]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("event.amuont > 5", "no such key: 'amuont', in event.amuont > 5"),
        ("event.list[7]", "no item 7 in a list of 2, in event.list[7]"),
        ("event.n + 1.5", "`+` does not take (int, double); convert one side"),
        ("event.text < 3", "`<` does not take (string, int)"),
        ("event.none + 1", "`+` does not take (null, int)"),
        ("event.text && true", "`&&` takes only bools"),
        ("event.n ? 1 : 2", "the condition before `?` is not a bool"),
        ("event.n.all(x, true)", "only lists and maps can be iterated over"),
        ("event.text.field", "the value is not a map and has no fields"),
        ("event.n / 0", "divide by zero"),
        ("9223372036854775807 + event.n", "integer overflow"),
        ("item.name", "`item` is not available here"),
        ("1.0 / 0.0", "the number inf is not JSON"),
        ("0.0 / 0.0", "the number nan is not JSON"),
        ("{1: 2}", "a map with the key 1 is not JSON"),
        ("[type(1)]", "a type is not JSON"),
        ("event.text.matches('(')", "invalid regular expression"),
        ("timestamp(event.text)", "String to Timestamp conversion failed"),
        ("evnt", "unknown name `evnt`"),
        ("1 +", "the expression ends too early"),
        ("event.when", "a date is not JSON"),
    ],
)
def test_an_error_is_one_line(source: str, reason: str):
    event = {"n": 1, "text": "x\ny", "none": None, "list": [1, 2], "when": NOW.date()}
    with pytest.raises(ExpressionError) as caught:
        evaluate(source, scope(event))
    assert caught.value.message.startswith(reason)
    assert "\n" not in caught.value.message
    assert type(caught.value) is ExpressionError


@pytest.mark.parametrize(
    ("source", "offset", "reason"),
    [
        ("1 +", 3, "the expression ends too early"),
        ("1 1", 2, "unexpected `1`"),
        ("'abc", 0, "unexpected `'abc`"),
        ("evnt.data", 0, "unknown name `evnt`; did you mean `event`?"),
        ("'😀' + zoo", 6, "unknown name `zoo`"),
        ("event.a ==\n  zoo.b.c", 13, "unknown name `zoo`"),
        ("tasks.my-task.output", 9, "a name with a hyphen goes in brackets: ['my-task']"),
        ("frob(1)", 0, "unknown function `frob`"),
        ("event.list.sum()", 11, "unknown function `sum`"),
        ("'a' + 1", 4, "`+` does not take (string, int)"),
        ("1 == 1.0", 2, "convert one side with double() or int()"),
        ("now + 1", 4, "`+` does not take (timestamp, int)"),
        ("google.protobuf.Struct{}", 0, "unknown type `google.protobuf.Struct`"),
        ("", 0, "the expression is empty"),
        (" \n", 0, "the expression is empty"),
        ("'a\0'", 2, "a NUL character is not allowed here"),
        ("'\ud800'", 1, "half a surrogate pair is not allowed here"),
        ("9223372036854775808", 0, "invalid int literal"),
    ],
)
def test_a_check_gives_the_offset_of_the_fault(source: str, offset: int, reason: str):
    problem = check_expression(source)
    assert problem is not None
    assert (problem.offset, reason in problem.reason) == (offset, True), problem
    assert "\n" not in problem.reason


def test_a_check_finds_names_that_are_not_available():
    names = [name for name in NAMES if name != "item"]
    problem = check_expression("event.a == item.b", names)
    assert problem is not None
    assert (problem.offset, problem.reason) == (11, "`item` is not available here")
    assert check_expression("event.a.exists(item, item == 1)", names) is None
    assert check_expression("event.item == 1", names) is None
    assert check_expression("item.b") is None


@pytest.mark.parametrize(
    ("value", "shown"), [("'yes'", "the string 'yes'"), ("1", "the number 1"), ("null", "null")]
)
def test_a_condition_must_be_true_or_false(value: Any, shown: str):
    assert evaluate_condition("event > 1", scope(2)) is True
    with pytest.raises(ExpressionError, match=f"the condition returned {shown}, not true or false"):
        evaluate_condition(value, scope(None))


def test_now_of_another_zone_is_the_same_moment():
    berlin = NOW.astimezone(timezone(timedelta(hours=2)))
    assert evaluate("now", {"now": berlin}) == evaluate("now", {"now": NOW})


@given(st.integers(-(2**80), 2**80), st.integers(-(2**80), 2**80))
def test_integers_of_any_size_are_added_and_compared(left: int, right: int):
    given_scope = scope({"l": left, "r": right, "t": str(right)})
    assert evaluate("big.add(event.l, event.r)", given_scope) == str(left + right)
    assert evaluate("big.add(event.l, event.t)", given_scope) == str(left + right)
    order = (left > right) - (left < right)
    assert evaluate("big.compare(event.l, event.r)", given_scope) == order


def test_integers_outside_64_bits_become_strings_of_digits():
    assert evaluate("event", {"event": [2**64, -(2**63) - 1]}) == [
        "18446744073709551616",
        "-9223372036854775809",
    ]
    with pytest.raises(ExpressionError, match="is not an integer in decimal digits"):
        evaluate("big.add(event, 1)", {"event": "12x"})
    with pytest.raises(ExpressionBudgetError):
        evaluate("event", {"event": 10**5000})


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("' a '.trim()", "a"),
        ("'Äb'.upperAscii()", "ÄB"),
        ("'ÄB'.lowerAscii()", "Äb"),
        ("'hello'.charAt(1)", "e"),
        ("'hello'.charAt(5)", ""),
        ("'hello'.indexOf('l')", 2),
        ("'hello'.lastIndexOf('l')", 3),
        ("'hello'.indexOf('z')", -1),
        ("'hello'.substring(1)", "ello"),
        ("'hello'.substring(1, 3)", "el"),
        ("'aaa'.replace('a', 'b')", "bbb"),
        ("'aaa'.replace('a', 'b', 2)", "bba"),
        ("'a,b,c'.split(',')", ["a", "b", "c"]),
        ("'a,b,c'.split(',', 2)", ["a", "b,c"]),
        ("'a,b,c'.split(',', 0)", []),
        ("'abc'.split('')", ["a", "b", "c"]),
        ("'abc'.split('', 2)", ["a", "bc"]),
        ("''.split('')", []),
        ("['a', 'b'].join()", "ab"),
        ("{'b': 1, 'a': 2, 'c': 3}.map(k, k).sort().join()", "abc"),
        ("[3, 1.5, 2u].sort()", [1.5, 2, 3]),
        ("[].sort()", []),
        ("[].join(',')", ""),
        ("'%s: %d of %.2f%% %x'.format(['a', 3, 2.346, 255])", "a: 3 of 2.35% ff"),
        ("'%s %s %s'.format([null, [1], now])", "null [1] 2026-05-01T12:00:00.250000Z"),
        ("('a' + '\\u0000').replace('a', 'b')", "b\ufffd"),
    ],
)
def test_the_functions_on_text(source: str, value: Any):
    assert evaluate(source, scope(None)) == value


@pytest.mark.parametrize(
    "source",
    [
        "'abc'.substring(2, 9)",
        "'abc'.charAt(-1)",
        "[1].join(',')",
        "'%d'.format(['a'])",
        "'%d'.format([])",
        "'%q'.format([1])",
        "'%o'.format(['a'])",
        "'%b'.format(['a'])",
        "'%x'.format([0.5])",
        "['a', 1].sort()",
        "[null].sort()",
        "'%d'.format([true])",
    ],
)
def test_wrong_use_of_a_text_function_is_an_error(source: str):
    with pytest.raises(ExpressionError) as caught:
        evaluate(source, scope(None))
    assert type(caught.value) is ExpressionError


def test_characters_that_the_runtime_cannot_handle_are_replaced():
    event = {"nul": "a\0b", "half": "x\ud800", "\0key": 1}
    assert evaluate("event.nul", scope(event)) == "a\ufffdb"
    assert evaluate("event.nul + event.half", scope(event)) == "a\ufffdbx\ufffd"
    assert evaluate("event", scope(event))["\ufffdkey"] == 1


TOO_MUCH = {
    "source": ("'" + "a" * 2047 + "'", None),
    "source in bytes": ("'" + "é" * 1024 + "'", None),
    "parentheses": ("(" * 1000 + "1" + ")" * 1000, None),
    "fields": ("event" + ".a" * 1000, None),
    "sums": ("1" + "+1" * 1000, None),
    "iterations": ("event.all(x, true)", list(range(20_000))),
    "nested iterations": ("event.all(x, event.all(y, true))", list(range(200))),
    "building lists": ("event.map(x, x)", list(range(2_000))),
    "building joined lists": ("(event + event).filter(x, true)", list(range(600))),
    "scanning": ("event.l.all(x, !event.t.contains('b'))", {"l": [0] * 9_000, "t": "a" * 900_000}),
    "gathering": (
        "event.l.map(x, event.t + x).join().size()",
        {"l": ["x"] * 900, "t": "a" * 500_000},
    ),
    "doubling texts": (
        "[event]" + ".map(a, ((a + a + a + a) + (a + a + a + a)) + (a + a + a + a))" * 2,
        "a",
    ),
    "doubling lists": (
        "[event].map(a, [a,a,a,a,a,a,a,a,a,a].map(b, [b,b,b,b,b,b,b,b,b,b,b,b,b,b]))",
        "x",
    ),
    "adding large data": ("[" + ",".join(["event"] * 100) + "]", "a" * 2_000_000),
    "replacing": ("event.replace('a', event)", "a" * 3_000),
    "splitting": ("event.split('').size()", "a" * 3_000),
    "joining": ("[event, event].join().size()", "a" * 600_000),
    "many values": ("event.l.map(x, event.m)", {"l": [0] * 1_000, "m": ["v"] * 1_000}),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_too_much_work_is_refused_within_seconds(name: str):
    source, event = TOO_MUCH[name]
    begun = time.process_time()
    with pytest.raises(ExpressionBudgetError):
        evaluate(source, scope(event))
    assert time.process_time() - begun < 15


@pytest.mark.parametrize("make", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_too_deep_data_is_refused_and_less_deep_data_is_accepted(make: Callable[[Any], Any]):
    value = 1
    for _ in range(100):
        value = make(value)
    assert evaluate("[event][0]", scope(value)) == value
    for _ in range(100_000):
        value = make(value)
    with pytest.raises(ExpressionBudgetError, match="nested deeper than"):
        evaluate("event", scope(value))
    assert evaluate("1", scope(value)) == 1
    while isinstance(value, list | dict):  # free it from the top, else Python recurses
        value = value["a"] if isinstance(value, dict) else value[0]


def test_normal_work_is_within_the_budgets():
    rows = [{"id": i, "tags": ["a", "b"]} for i in range(900)]
    event = {"rows": rows, "text": "line of output\n" * 900}
    assert len(evaluate("event.rows.map(r, {'id': r.id, 'first': r.tags[0]})", scope(event))) == 900
    prefixed = "event.rows.map(r, event.text + r.tags[0]).map(t, t.size()).size()"
    assert evaluate(prefixed, scope(event)) == 900
    chained = "event.rows.map(r, [r.id, r.id, r.id]).filter(r, r[0] > 1).map(r, r[1]).size()"
    assert evaluate(chained, scope(event)) == 898
    assert evaluate("event.rows.exists(r, r.tags.exists(t, t == 'z'))", scope(event)) is False
    assert evaluate("event.text.split('\\n').filter(l, l != '').size()", scope(event)) == 900
    assert evaluate("event.rows.all(r, r.id >= 0)", scope({"rows": rows * 10})) is True


def test_only_fields_that_are_read_are_converted():
    begun = time.process_time()
    event = {"amount": 5, "rows": [[["x"]]] * 1000, "odd": object()}
    for _ in range(1000):
        assert evaluate("event.amount > 1", scope(event, tasks=object())) is True
    assert time.process_time() - begun < 10


def test_no_deeply_nested_source_crashes_the_process():
    """The runtime is C++; a crash of it would end the worker."""
    program = """
from activityctl.domain.cel.expression import check_expression, evaluate
from activityctl.errors import ExpressionError
for head, core, tail in [
    ("(", "1", ")"), ("[", "1", "]"), ("{1:", "1", "}"), ("size(", "1", ")"), ("-", "1", ""),
    ("!", "true", ""), ("- ", "1", ""), ("true ? 1 : ", "1", ""), ("1 + ", "1", ""),
    ("true && ", "true", ""), ("[1].map(x, ", "1", ")"), ("[0].all(x,", "true", ")"), ("'", "", ""),
    ("event.a", "", ".a"), ("event", "", "[0]"), ("", "event", ".a()"), ("{", "", ""),
    ("\\\\", "", ""),
    ("1 in [", "1", "]"), ("has(", "event.a", ")"), ("event.exists(e, ", "e", ")"), ("'''", "", ""),
    ("a.b{", "", "}"), ("x", "", ""), ("#", "", ""), ("`", "", ""), ("1 == ", "1", ""),
    ("0", "", "u"),
]:
    for count in (1, 5, 10, 20, 31, 32, 33, 60, 100, 400, 2000, 10_000):
        source = head * count + core + tail * count
        check_expression(source)
        try:
            evaluate(source, {"event": {"a": [1]}})
        except ExpressionError as error:
            assert "\\n" not in error.message and len(error.message) < 500, error.message
print("survived")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "survived\n"), done.stderr[-2000:]


@settings(max_examples=examples(200))
@given(st.text(list("event.a[]{}()+-*/%<>=!&|?:'\"\\\n`1x, 😀\0\ud800"), max_size=30))
def test_any_text_is_checked_without_a_crash(source: str):
    problem = check_expression(source)
    if problem is not None:
        assert 0 <= problem.offset <= len(source)
        assert problem.reason
        assert problem.reason.isprintable()
        with pytest.raises(ExpressionError):
            evaluate(source, {})


def test_threads_can_share_compiled_expressions():
    wrong_values = []

    def work(number: int) -> None:
        for _ in range(300):
            value = evaluate("event.n * 2 + event.text.size()", scope({"n": number, "text": "ab"}))
            if value != number * 2 + 2:
                wrong_values.append(value)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong_values == []
