"""The fields of the outputs of task kinds, as far as expressions are checked against them.

A kind that is not listed here may have any output. The contract tests of the executors hold that
the lists are complete.
"""

from collections.abc import Mapping
from typing import Final

from activityctl.domain.cel.static_type import ANY_TYPE, StaticType, closed_map

_FIELDS: Final[Mapping[str, tuple[str, str]]] = {
    "http": (
        "status headers json body jsonError bytes durationMs items pages complete",
        "what the server has answered is in output.json, or as text in output.body",
    ),
    "command": (
        "exitCode stdout stderr stdoutBytes stderrBytes json jsonError durationMs",
        "with parse: json, what the program has printed is in output.json",
    ),
}
"""The names of the fields, and the hint for any other name."""

OUTPUTS: Final[Mapping[str, StaticType]] = {
    kind: closed_map(dict.fromkeys(names.split(), ANY_TYPE), hint)
    for kind, (names, hint) in _FIELDS.items()
}
"""The static type of the output of a task, by kind."""
