"""`format` writes values as the CEL specification says, and equal values as one text."""

import itertools
from typing import Any

import pytest

from activityctl.domain.cel.expression import evaluate, render
from activityctl.errors import ExpressionBudgetError

# From the conformance tests of the CEL specification, section `format` of string_ext.textproto.
SPECIFICATION = {
    """'no substitution'.format([])""": "no substitution",
    """'%%%s%%'.format(['text'])""": "%text%",
    """'%d %s %d'.format([1, 'A', 4])""": "1 A 4",
    """'%.3f'.format([1.2345])""": "1.234",
    """'%b'.format([5])""": "101",
    """'%b'.format([uint(64)])""": "1000000",
    """'%b'.format([true])""": "1",
    """'%o'.format([11])""": "13",
    """'%o'.format([uint(65535)])""": "177777",
    """'%x'.format([30])""": "1e",
    """'%X'.format([uint(6000)])""": "1770",
    """'%x'.format(['Hello world!'])""": "48656c6c6f20776f726c6421",
    """'%X'.format([b'byte string'])""": "6279746520737472696E67",
    """'%.6e'.format([1052.032911275])""": "1.052033e+03",
    """'%f'.format([2.71828])""": "2.718280",
    """'%f'.format([3u])""": "3.000000",
    """'%e'.format([2])""": "2.000000e+00",
    **{
        f"'%{kind}'.format([double('{name}')])": name
        for kind, name in itertools.product("dfes", ("NaN", "Infinity", "-Infinity"))
    },
    """'%d'.format([3.14])""": "3.14",
    """'%s'.format([null])""": "null",
    """'%s'.format([999999999999])""": "999999999999",
    """'%s'.format([b'xyz'])""": "xyz",
    r"""'%s'.format([b'a\xff\xfe\303\251'])""": "a\ufffdé",
    """'%s'.format([timestamp('2023-02-03T23:31:20+00:00')])""": "2023-02-03T23:31:20Z",
    """'%s'.format([duration('1h45m47s')])""": "6347s",
    """'%s'.format([['abc', 3.14, null, [9, 8], timestamp('2023-02-03T23:31:20Z')]])""": (
        "[abc, 3.14, null, [9, 8], 2023-02-03T23:31:20Z]"
    ),
    """'%s'.format([{'key1': b'xyz', 'key5': null, 'key2': duration('2h'), 'key3': 2.71}])""": (
        "{key1: xyz, key2: 7200s, key3: 2.71, key5: null}"
    ),
    """'%s'.format([{'strKey': 'x', 6: duration('422s'), true: 42}])""": (
        "{6: 422s, strKey: x, true: 42}"
    ),
    """'%s, %s'.format([true, false])""": "true, false",
    """'%s'.format([7.0])""": "7",
    """'%s'.format([1e21])""": "1" + "0" * 21,
    """'%s'.format([1e-7])""": "0.0000001",
    """'%.0f'.format([2.5])""": "2",
    """'%.3f'.format([-123.4999])""": "-123.500",
}


@pytest.mark.parametrize("source", SPECIFICATION)
def test_format_follows_the_specification(source: str):
    assert evaluate(source, {"event": None}) == SPECIFICATION[source]


NAMES = [f"{name}{number}" for name in ("order", "a", "Z") for number in range(20)]


@pytest.mark.parametrize("names", [NAMES, NAMES[::-1], sorted(NAMES)])
def test_equal_maps_have_one_text(names: list[str]):
    inner = {name: {"b": 1, "a": name} if name < "m" else {"a": name, "b": 1} for name in names}
    scope: dict[str, Any] = {"event": {"m": inner}}
    text = ", ".join(f"{name}: {{a: {name}, b: 1}}" for name in sorted(NAMES))
    assert evaluate("'%s'.format([event.m])", scope) == f"{{{text}}}"
    assert evaluate("event.m.map(k, k).sort()", scope) == sorted(NAMES)
    json = ",".join(f'"{name}":{{"a":"{name}","b":1}}' for name in sorted(NAMES))
    assert render("x${ event.m }", scope) == f"x{{{json}}}"


def test_a_text_that_would_be_too_long_is_refused():
    with pytest.raises(ExpressionBudgetError, match="the text would have more than 1048576"):
        evaluate("'%s%s%s'.format([event, event, event])", {"event": "x" * 400_000})
