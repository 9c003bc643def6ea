"""The fields of the outputs of task kinds, as far as expressions are checked against them.

A kind that is not listed here may have any output. The contract tests of the executors hold that
the lists are complete.
"""

from collections.abc import Mapping
from typing import Final

from activityctl.domain.cel.static_type import ANY_TYPE, StaticType, closed_map, open_map
from activityctl.domain.values.model import JsonValue

_ANSWER: Final = "json"
"""The field of an output with the JSON that the server, the program or the model answered."""
_ANSWERING: Final = frozenset({"ai", "command", "http"})
_FIELDS: Final[Mapping[str, str]] = {
    "http": "status headers json body jsonError bytes durationMs items pages complete",
    "command": "exitCode stdout stderr stdoutBytes stderrBytes json jsonError durationMs",
}
_TEXT_ONLY: Final = "with parse: json, the fields of what the program has printed can be read"

OUTPUT_FIELDS: Final[Mapping[str, Mapping[str, StaticType]]] = {
    kind: dict.fromkeys(names.split(), ANY_TYPE) for kind, names in _FIELDS.items()
}
"""The fields that the output of a kind may have of its own."""


def output_type(kind: str, body: JsonValue) -> StaticType:
    """Return the static type of the output of a task; `body` is what stands under its kind."""
    fields = OUTPUT_FIELDS.get(kind)
    if fields is None:
        return ANY_TYPE
    is_text = kind == "command" and not (isinstance(body, Mapping) and "parse" in body)
    return closed_map(fields, _TEXT_ONLY) if is_text else open_map(fields)


def output_as_read(kind: str, output: JsonValue) -> JsonValue:
    """Return an output as expressions read it: the fields of the answer beside its own.

    So `tasks.score.output.risk` is `tasks.score.output.json.risk`. A field of the output's own,
    such as `status`, hides one of the answer.
    """
    answer = output.get(_ANSWER) if kind in _ANSWERING and isinstance(output, dict) else None
    return {**answer, **output} if isinstance(answer, dict) else output
