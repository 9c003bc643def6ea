"""Turns error messages of the CEL runtime into one plain line with an offset."""

import difflib
import re
from collections.abc import Collection
from typing import Final

from activityctl.domain.values.untrusted import printable

_FAULT: Final = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*?)(?=\n \||\nERROR: |$)", re.DOTALL)
_TAIL: Final = re.compile(r" \[[A-Z_]+\]\Z")
_HEAD: Final = re.compile(r"\A(?:[A-Z_]+: )+")
_RECURSION: Final = re.compile(r"recursion (?:limit|depth)")
_UNDECLARED: Final = re.compile(r"undeclared reference to '(.*?)'")
_STATIC_OVERLOAD: Final = re.compile(r"found no matching overload for '(.*?)' applied to '(.*)'")
_OVERLOAD: Final = re.compile(r"No matching overloads found : (?:\((\w+)\)\.)?(.*?)(?:\((.*)\))?\Z")
_KEY: Final = re.compile(r'Key not found in map : "(.*)"', re.DOTALL)
_INDEX: Final = re.compile(r"Index error: index=(-?\d+) size=(\d+)")
_UNBOUND: Final = re.compile(r'No value with name "(.*?)" found')
_EXPECTING: Final = re.compile(r" expecting .*", re.DOTALL)
_TYPES: Final = {
    "int64": "int",
    "uint64": "uint",
    "null_type": "null",
    "google.protobuf.Timestamp": "timestamp",
    "google.protobuf.Duration": "duration",
}
_LONGEST: Final = 200

TOO_DEEP: Final = "the expression is nested too deeply"


def compile_fault(source: str, message: str, names: Collection[str]) -> tuple[int, str]:
    """Return offset and reason of the first fault in the message of the compiler."""
    if _RECURSION.search(message):
        return 0, TOO_DEEP
    found = _FAULT.search(_TAIL.sub("", message))
    if found is None:
        return 0, one_line(_HEAD.sub("", _TAIL.sub("", message)))
    offset = _offset(source, int(found[1]), int(found[2]))
    if undeclared := _UNDECLARED.search(found[3]):
        offset, reason = _unknown(source, offset, undeclared[1], names)
        return offset, one_line(reason)
    return offset, one_line(_compile_reason(found[3]))


def _offset(source: str, line: int, column: int) -> int:
    lines = source.split("\n")
    before = sum(len(text) + 1 for text in lines[: line - 1])
    return max(0, min(before + column - 1, len(source)))


def _compile_reason(text: str) -> str:
    if overload := _STATIC_OVERLOAD.search(text):
        return mismatch(overload[1], overload[2].strip("()"))
    text = _EXPECTING.sub("", text.removeprefix("Syntax error: "))
    for start in ("mismatched input ", "extraneous input ", "token recognition error at: "):
        if text.startswith(start):
            rest = text.removeprefix(start)[1:-1]
            return "the expression ends too early" if rest == "<EOF>" else f"unexpected `{rest}`"
    return text


def _unknown(source: str, offset: int, name: str, names: Collection[str]) -> tuple[int, str]:
    root, is_call = name.split(".", maxsplit=1)[0], source[offset : offset + 1] == "("
    if is_call:
        root = name.rsplit(".", 1)[-1]
    before = r"(?<!\w)" if is_call else r"(?<![\w.])"
    starts = [
        found.start()
        for found in re.finditer(rf"{before}{re.escape(root)}(?!\w)", source)
        if found.start() <= offset
    ]
    start = starts[-1] if starts else offset
    if is_call:
        return start, f"unknown function `{name}`"
    if found := re.search(r"([\w-]*\w-)\Z", source[:start]):
        full = f"['{found[1]}{root}']"
        return start, f"unknown name `{root}`; a name with a hyphen goes in brackets: {full}"
    near = difflib.get_close_matches(root, names, 1)
    return start, f"unknown name `{root}`" + (f"; did you mean `{near[0]}`?" if near else "")


def evaluation_fault(message: str) -> str:
    """Return the reason why an evaluation failed."""
    text = _HEAD.sub("", _TAIL.sub("", message))
    if key := _KEY.search(text):
        return one_line(f"no such key: {key[1]!r}")
    if index := _INDEX.search(text):
        return f"no item {index[1]} in a list of {index[2]}"
    if name := _UNBOUND.search(text):
        return f"`{name[1]}` is not available here"
    if overload := _OVERLOAD.search(text):
        types = ", ".join(filter(None, (overload[1], overload[3])))
        return one_line(mismatch(overload[2], types))
    if text.startswith("Applying SELECT to non-message type"):
        return "the value is not a map and has no fields"
    return one_line(text)


def mismatch(function: str, types: str) -> str:
    """Return the reason for wrong argument types; `types` are named as in `int, string`."""
    named = ", ".join(_TYPES.get(part, part) for part in types.split(", "))
    match function:
        case "<jump_condition>":
            return "the condition before `?` is not a bool"
        case "<iter_range>":
            return "only lists and maps can be iterated over"
        case "_&&_" | "_||_" | "!_":
            return f"`{function.strip('_')}` takes only bools"
    sign = function.strip("_@").replace("?_:", "? :") or function
    reason = f"`{sign}` does not take ({named})" if named else f"`{sign}` does not take these types"
    kinds = set(named.split(", "))
    if function.startswith("_") and kinds <= {"int", "uint", "double"} and len(kinds) > 1:
        return f"{reason}; convert one side with " + " or ".join(
            f"{kind}()" for kind in sorted(kinds)
        )
    return reason


def one_line(text: str) -> str:
    """Return the text in one printable line of at most 200 characters."""
    line = " ".join(printable(text).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
