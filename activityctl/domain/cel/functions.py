"""The functions that we add to CEL: for text, and for integers of any size.

Each function limits the size of its result. They replace CEL's own library of string functions
and have the same names and meanings: in that library, `replace`, `join` and `split` let 2 KB
of source fill any memory.
"""

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from cel_expr_python import cel

from activityctl.domain.cel.text_format import format_text
from activityctl.domain.values.untrusted import storable

MAX_TEXT: Final = 1 << 20
"""The most characters in the result of a function."""
MAX_PIECES: Final = 1_000
"""The most pieces in the result of `split`."""
OVER_BUDGET: Final = "over budget: "
"""The start of the message of a function that would exceed one of these limits."""

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,1000}")
_TYPE: Final = cel.Type


def declarations() -> list[Any]:
    """Return the declarations of our functions, for the CEL environment."""
    text, number = _TYPE.STRING, _TYPE.INT
    texts, values = _TYPE.List(text), _TYPE.List(_TYPE.DYN)
    integers = (text, number, _TYPE.UINT)
    pairs = [[left, right] for left in integers for right in integers]
    return [
        _declare("lowerAscii", text, _lower, [text]),
        _declare("upperAscii", text, _upper, [text]),
        _declare("trim", text, _trim, [text]),
        _declare("charAt", text, _char_at, [text, number]),
        _declare("indexOf", number, str.find, [text, text]),
        _declare("lastIndexOf", number, str.rfind, [text, text]),
        _declare("substring", text, _substring, [text, number], [text, number, number]),
        _declare("replace", text, _replace, [text] * 3, [text] * 3 + [number]),
        _declare("split", texts, _split, [text, text], [text, text, number]),
        _declare("join", text, _join, [values], [values, text]),
        _declare("sort", values, _sort, [values]),
        _declare("format", text, _format, [text, values]),
        _declare("big.compare", number, compare_big, *pairs, member=False),
        _declare("big.add", text, add_big, *pairs, member=False),
    ]


def _declare(
    name: str,
    result: Any,
    body: Callable[..., Any],
    *parameters: Sequence[Any],
    member: bool = True,
) -> Any:
    def call(*arguments: Any) -> Any:
        return _limited(body(*arguments))

    overloads = [
        cel.Overload(f"{name}_{index}", result, list(types), member, call)
        for index, types in enumerate(parameters)
    ]
    return cel.FunctionDecl(name, overloads)


def _limited(result: Any) -> Any:
    """Check the length of a text, and replace NUL, at which the runtime would cut it."""
    if not isinstance(result, str):
        return result
    _check_length(len(result))
    return storable(result)


def _check_length(length: int) -> None:
    if length > MAX_TEXT:
        raise ValueError(f"{OVER_BUDGET}the text would have more than {MAX_TEXT} characters")


def compare_big(left: int | str, right: int | str) -> int:
    """Compare two integers of any size, as numbers or decimal digits; return -1, 0 or 1."""
    first, second = _integer(left), _integer(right)
    return (first > second) - (first < second)


def add_big(left: int | str, right: int | str) -> str:
    """Return the sum of two integers of any size, in decimal digits."""
    return str(_integer(left) + _integer(right))


def _integer(value: int | str) -> int:
    if isinstance(value, str) and not _INTEGER.fullmatch(value):
        raise ValueError(f"{value[:40]!r} is not an integer in decimal digits")
    return int(value)


def _lower(text: str) -> str:
    return text.encode().lower().decode()


def _upper(text: str) -> str:
    return text.encode().upper().decode()


def _trim(text: str) -> str:
    return text.strip()


def _char_at(text: str, index: int) -> str:
    return _substring(text, index, min(index + 1, len(text)))


def _substring(text: str, start: int, end: int | None = None) -> str:
    stop = len(text) if end is None else end
    if not 0 <= start <= stop <= len(text):
        raise ValueError(f"characters {start} to {stop} are outside a text of length {len(text)}")
    return text[start:stop]


def _replace(text: str, old: str, new: str, limit: int = -1) -> str:
    count = text.count(old) if limit < 0 else min(limit, text.count(old))
    _check_length(len(text) + count * (len(new) - len(old)))
    return text.replace(old, new, count)


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    most = len(text) if separator == "" else text.count(separator) + 1
    pieces = most if limit < 0 else min(limit, most)
    if pieces > MAX_PIECES:
        raise ValueError(f"{OVER_BUDGET}split would return more than {MAX_PIECES} pieces")
    if limit == 0:
        return []
    if separator == "":
        return [*text[: pieces - 1], text[pieces - 1 :]] if text else []
    return text.split(separator, pieces - 1)


def _join(parts: Sequence[Any], separator: str = "") -> str:
    if not all(isinstance(part, str) for part in parts):
        raise ValueError("join needs a list of strings")
    _check_length(sum(map(len, parts)) + len(separator) * len(parts))
    return separator.join(parts)


def _format(pattern: str, values: Sequence[Any]) -> str:
    return format_text(pattern, values, _check_length)


def _sort(items: Sequence[Any]) -> list[Any]:
    kinds = {bool if isinstance(item, bool) else _order_of(item) for item in items}
    if len(kinds) > 1 or None in kinds:
        raise ValueError("sort needs a list of texts, of numbers or of bools")
    return sorted(items)


def _order_of(item: Any) -> type | None:
    """Return which items can be compared with an item; None if it has no order."""
    if isinstance(item, int | float):
        return float
    return next((kind for kind in (str, datetime, timedelta) if isinstance(item, kind)), None)
