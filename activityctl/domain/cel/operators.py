"""The result kinds of CEL's operators, and the messages for wrong operand kinds.

Kinds are sets of CEL's type names; an empty set means that the kind is not known.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Final

from activityctl.domain.cel.messages import mismatch
from activityctl.domain.cel.static_type import CelKinds

_SAME: Final = ("bool", "string", "bytes", "timestamp", "duration")
NUMBERS: Final = ("int", "uint", "double")
_EVERY_KIND: Final = frozenset({*_SAME, *NUMBERS, "null", "list", "map"})
_NUMERIC: Final = {(kind, kind): kind for kind in NUMBERS}
_ORDER: Final = {
    **{(kind, kind): "bool" for kind in _SAME},
    **dict.fromkeys(product(NUMBERS, NUMBERS), "bool"),
}
RESULTS: Final[Mapping[str, Mapping[tuple[str, str], str]]] = {
    "_+_": {
        **_NUMERIC,
        ("string", "string"): "string",
        ("bytes", "bytes"): "bytes",
        ("list", "list"): "list",
        ("timestamp", "duration"): "timestamp",
        ("duration", "timestamp"): "timestamp",
        ("duration", "duration"): "duration",
    },
    "_-_": {
        **_NUMERIC,
        ("timestamp", "timestamp"): "duration",
        ("timestamp", "duration"): "timestamp",
        ("duration", "duration"): "duration",
    },
    "_*_": _NUMERIC,
    "_/_": _NUMERIC,
    "_%_": {(kind, kind): kind for kind in ("int", "uint")},
    "_<_": _ORDER,
    "_<=_": _ORDER,
    "_>_": _ORDER,
    "_>=_": _ORDER,
}
"""The result of each operator by its operand kinds (CEL specification, standard definitions)."""
LOGIC: Final = frozenset({"_&&_", "_||_", "!_"})
EQUALITY: Final = frozenset({"_==_", "_!=_"})
_TEXT: Final = frozenset({"string", "bool", "timestamp", *NUMBERS})
_NUMBER_NAMES: Final = {"int": "a number", "uint": "a number", "double": "a number"}


def results(function: str, left: CelKinds, right: CelKinds) -> CelKinds | None:
    """Return the possible result kinds of an operator of RESULTS; None if no pair is allowed."""
    table = RESULTS[function]
    pairs = product(left or _EVERY_KIND, right or _EVERY_KIND)
    found = frozenset(table[pair] for pair in pairs if pair in table)
    if not found:
        return None
    return found if left or right or len(found) == 1 else frozenset()


def are_never_equal(left: CelKinds, right: CelKinds) -> bool:
    """Return whether `==` is false for all values; numbers may be equal to any number."""
    return bool(left and right) and not _comparable(left) & _comparable(right)


def _comparable(kinds: CelKinds) -> CelKinds:
    """Return the kinds that a value may be equal to: any number to a number, anything to null."""
    shared = {"int"} if kinds & frozenset(NUMBERS) else set()
    everything = _EVERY_KIND if "null" in kinds else frozenset()
    return kinds | shared | everything


def operator_mismatch(function: str, kinds: Sequence[CelKinds]) -> str:
    """Return the reason for an operator that does not take these operand kinds."""
    return mismatch(function, ", ".join(_listed(operand) for operand in kinds))


def _listed(kinds: CelKinds) -> str:
    return " or ".join(sorted(kinds)) if kinds else "anything"


def describe_kinds(kinds: CelKinds) -> str:
    """Return the kinds in words: `a string`, `a number or null`."""
    if kinds >= _TEXT:
        return " or ".join(["a text", *(["null"] if "null" in kinds else [])])
    names = {_NUMBER_NAMES.get(kind, f"a {kind}") for kind in kinds}
    return " or ".join(sorted(names)).replace("a null", "null").replace("a bool", "true or false")
