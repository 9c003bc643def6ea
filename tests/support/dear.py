"""Expressions and data that pass every limit of size, and take long to evaluate."""

from collections.abc import Mapping
from typing import Any, Final

TAGS: Final = [f"t{number}" for number in range(3_000)]
BLOCKED: Final = [f"b{number}" for number in range(100_000)]
NUMBERS: Final = list(range(9_000))
LARGE_MAP: Final = {f"k{number}": number for number in range(20_000)}
TEXT: Final = "a" * 90_000
HUGE: Final = "(a?){500}(a?){500}b"
CASES: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "in": (
        "event.data.tags.exists(t, t in event.data.blocked)",
        {"tags": TAGS, "blocked": BLOCKED},
    ),
    "equal maps": (
        "event.data.numbers.exists(n, event.data.one == event.data.other && n < 0)",
        {"numbers": NUMBERS, "one": LARGE_MAP, "other": dict(LARGE_MAP)},
    ),
    "list +": (
        "event.data.numbers.exists(n, (event.data.numbers + event.data.numbers).size() < n)",
        {"numbers": NUMBERS},
    ),
    "contains": (
        "event.data.numbers.exists(n, event.data.text.contains(event.data.part))",
        {"numbers": NUMBERS[:5_000], "text": TEXT, "part": f"{'a' * 5_000}b"},
    ),
    "matches": (
        "event.data.numbers.exists(n, event.data.text.matches('(a?){50}(a?){50}b$'))",
        {"numbers": NUMBERS[:5_000], "text": TEXT},
    ),
    "pattern of the event": (
        "event.data.text.matches(event.data.pattern)",
        {"text": TEXT * 4, "pattern": "(a?){300}(a?){300}b"},
    ),
    "large pattern": (f"event.data.text.matches('{HUGE}')", {"text": "a" * 1_000_000}),
}
