r"""Lets the YAML parser read escaped surrogate pairs, which YAML does not have and JSON has.

Python's `json.dumps` writes an emoji as `"\ud83d\ude00"`. Each half is replaced by the escape of
a character for private use, of the same length, so that positions stay. In double quotes the
parser returns two such characters, which become the emoji. Elsewhere the text is put back.
"""

import re
from typing import Final, NamedTuple

_ESCAPE: Final = re.compile(
    r"\\(?:u(?P<high>d[89ab]|D[89AB])(?P<x>[0-9a-fA-F]{2})"
    r"\\u(?P<low>d[c-f]|D[C-F])(?P<y>[0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_HALVES: Final = "89abcdef"
"""The second hex digit of a surrogate: that of the first half, then that of the second half."""


class _Range(NamedTuple):
    """2,048 characters for private use that take the place of the 2,048 surrogates."""

    first: int
    taken: re.Pattern[str]
    """Matches a text that has such a character, as it is or escaped."""
    pair: re.Pattern[str]
    """Matches two of the characters that take the place of a pair."""
    escapes: re.Pattern[str]
    """Matches the escapes of two such characters."""


def _range(digit: str, second: str) -> _Range:
    first = int(f"{digit}{second[0]}00", 16)
    start, half, end = chr(first), chr(first + 0x400), chr(first + 0x7FF)
    either = rf"[{digit}{digit.upper()}]"
    spelled = rf"{second[:4]}{second[:4].upper()}", rf"{second[4:]}{second[4:].upper()}"
    escaped = "".join(rf"\\u({either})([{part}])([0-9a-fA-F]{{2}})" for part in spelled)
    return _Range(
        first,
        re.compile(rf"[{start}-{end}]|\\u{either}[{second}{second.upper()}]|\\U000?0?{either}"),
        re.compile(rf"[{start}-{chr(first + 0x3FF)}][{half}-{end}]"),
        re.compile(escaped),
    )


_RANGES: Final = (_range("e", "01234567"), _range("e", "89abcdef"), _range("f", "01234567"))


class SurrogatePairs:
    """The escaped surrogate pairs of one text."""

    def __init__(self, text: str) -> None:
        self.text = text
        """The text for the parser; every character has the position that it had."""
        self._range: _Range | None = None
        if r"\ud" not in text and r"\uD" not in text:
            return
        unused = (known for known in _RANGES if not known.taken.search(text))
        if (chosen := next(unused, None)) is not None:
            replaced = _ESCAPE.sub(lambda found: _replaced(found, chosen), text)
            if replaced != text:
                self.text, self._range = replaced, chosen

    @property
    def are_replaced(self) -> bool:
        """Whether the parser's values differ, so that they need `restored`."""
        return self._range is not None

    def restored(self, value: str, *, is_double_quoted: bool) -> str:
        """Return the value of a scalar, as it would be without the replacement."""
        if self._range is None:
            return value
        if is_double_quoted:
            return self._range.pair.sub(self._character, value)
        return self._range.escapes.sub(self._written, value)

    def _character(self, found: re.Match[str]) -> str:
        first = self._range.first if self._range else 0
        high, low = (ord(half) - first for half in found[0])
        return chr(0x10000 + (high << 10) + low - 0x400)

    def _written(self, found: re.Match[str]) -> str:
        return "".join(
            _surrogate(found[at], found[at + 1], found[at + 2], self._range) for at in (1, 4)
        )


def _replaced(found: re.Match[str], chosen: _Range) -> str:
    if found["high"] is None:
        return found[0]
    text = ""
    for half, rest in ((found["high"], found["x"]), (found["low"], found["y"])):
        code = chosen.first + 0x100 * _HALVES.index(half[1].lower())
        digits = f"{code:04x}"[:2]
        text += "\\u" + (digits.upper() if half[0] == "D" else digits) + rest
    return text


def _surrogate(digit: str, second: str, rest: str, chosen: _Range | None) -> str:
    first = chosen.first if chosen else 0
    at = int(digit + second, 16) - (first >> 8)
    half = _HALVES[at]
    return "\\u" + (f"D{half.upper()}" if digit.isupper() else f"d{half}") + rest
