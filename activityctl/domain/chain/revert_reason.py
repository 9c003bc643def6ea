"""Why a contract has refused a call, as far as the bytes that it gave say it."""

from collections.abc import Mapping
from typing import Final

from activityctl.domain.values.untrusted import escape_line

_ERROR: Final = "08c379a0"
"""The selector of `Error(string)`."""
_PANIC: Final = "4e487b71"
"""The selector of `Panic(uint256)`."""
_PANICS: Final[Mapping[int, str]] = {
    0x01: "an assertion does not hold",
    0x11: "a number is out of range",
    0x12: "division by zero",
    0x21: "a value is not one of its enum",
    0x22: "a stored text is damaged",
    0x31: "pop of an empty list",
    0x32: "an index is out of range",
    0x41: "too much memory",
    0x51: "a function that was never set",
}
_WORD: Final = 64
"""In hexadecimal digits."""
_LONGEST_TEXT: Final = 500
_LONGEST_HEX: Final = 200


def revert_reason(data: str | None, message: str = "") -> str:
    """Return the reason in words: of `Error(string)`, of `Panic(uint256)`, or the bytes.

    `message` is what the node said; it counts if the contract gave no bytes.
    """
    digits = (data or "").lower().removeprefix("0x")
    if not digits:
        said = message.removeprefix("execution reverted").lstrip(": ")
        return escape_line(said)[:_LONGEST_TEXT] or "the contract gives no reason"
    selector, rest = digits[:8], digits[8:]
    if selector == _ERROR and (text := _text(rest)) is not None:
        return escape_line(text)[:_LONGEST_TEXT]
    if selector == _PANIC and len(rest) == _WORD:
        code = int(rest, 16)
        return f"panic 0x{code:02x}: {_PANICS.get(code, 'unknown code')}"
    shown = digits if len(digits) <= _LONGEST_HEX else f"{digits[:_LONGEST_HEX]}…"
    return f"custom error 0x{shown}"


def _text(rest: str) -> str | None:
    """Return the string of one ABI-encoded argument; None if it is malformed."""
    if len(rest) < 2 * _WORD or int(rest[:_WORD], 16) != _WORD // 2:
        return None
    size = int(rest[_WORD : 2 * _WORD], 16)
    digits = rest[2 * _WORD : 2 * _WORD + 2 * size]
    if len(digits) != 2 * size:
        return None
    return bytes.fromhex(digits).decode("utf-8", "replace")
