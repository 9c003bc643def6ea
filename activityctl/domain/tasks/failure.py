"""Failure: how one attempt of a task failed; FailureClass: which failures a policy means."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from activityctl.domain.cel.expression import evaluate_condition
from activityctl.domain.cel.static_type import ANY_TYPE, StaticType, closed_map, type_of_kind
from activityctl.domain.values.model import JsonValue, Manifest, is_written
from activityctl.errors import TaskError
from activityctl.frozen_dataclass import frozen_dataclass

_STATUS: Final = re.compile("[2-5]xx|[2-5][0-9]{2}")
_CODE: Final = "^[a-z][a-z0-9_]{0,62}$"

ERROR_TYPE: Final = closed_map(
    {
        "message": type_of_kind("string"),
        "code": type_of_kind("string"),
        "status": type_of_kind("int", "null"),
        "attempt": type_of_kind("int"),
        "output": ANY_TYPE,
    },
    "an error has message, code, status, attempt and output",
)
ERROR_SCOPE: Final[Mapping[str, StaticType]] = {"error": ERROR_TYPE}
"""The variables of an expression over an error."""


@frozen_dataclass
class Failure:
    """How an attempt failed, as policies and expressions see it."""

    message: str
    code: str
    attempt: int
    may_retry: bool
    """Whether its kind thinks that another attempt may succeed."""
    status: int | None = None
    """The status of an HTTP response, if there was one."""
    output: JsonValue = None

    @property
    def scope(self) -> dict[str, Any]:
        """The variables of expressions."""
        return {
            "error": {
                "message": self.message,
                "code": self.code,
                "status": self.status,
                "attempt": self.attempt,
                "output": self.output,
            }
        }


def failure_of(error: TaskError, attempt: int) -> Failure:
    """Return the failure of an attempt that raised this error."""
    return Failure(
        str(error), error.task_code, attempt, error.may_retry, error.status, error.output
    )


def _status(value: int | str) -> int | str:
    if not _STATUS.fullmatch(str(value)):
        raise ValueError("should be a status code such as 404, or a class such as 4xx")
    return value


def _to_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


_Status = Annotated[int | str, AfterValidator(_status)]
_STATUS_SCHEMA: Final = {
    "anyOf": [
        {"type": "integer", "minimum": 200, "maximum": 599},
        {"type": "string", "pattern": f"^({_STATUS.pattern})$"},
    ]
}
_Code = Annotated[str, Field(pattern=_CODE)]
_CODE_SCHEMA: Final = {"type": "string", "pattern": _CODE}


def _one_or_many(schema: Mapping[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [schema, {"type": "array", "items": schema}]})


class FailureClass(Manifest):
    """The failures that a policy means: those that fit any of its fields."""

    status: Annotated[
        tuple[_Status, ...],
        BeforeValidator(_to_tuple),
        _one_or_many(_STATUS_SCHEMA),
    ] = Field(
        default=(),
        description="Failures with one of these HTTP statuses or classes of them.",
        examples=[[409, "5xx"]],
    )
    code: Annotated[
        tuple[_Code, ...],
        BeforeValidator(_to_tuple),
        _one_or_many(_CODE_SCHEMA),
    ] = Field(
        default=(),
        description="Failures with one of these error codes, such as `timeout`, `unreachable`, "
        "`exit_code` or `bad_output`. `describe task` shows the code of each attempt.",
        examples=[["timeout"]],
    )
    when: str | None = Field(
        default=None,
        description="A CEL expression over `error`, which has `message`, `code`, `status`, "
        "`attempt` and `output`. Failures for which it is true.",
        examples=["error.output.exitCode == 3"],
    )

    @model_validator(mode="after")
    def _means_something(self, info: ValidationInfo) -> Self:
        if is_written(info) and not (self.status or self.code or self.when is not None):
            raise ValueError("needs at least one of status, code and when")
        return self

    def has(self, failure: Failure) -> bool:
        """Return whether it means this failure; raise ExpressionError if `when` fails."""
        status = failure.status
        if status is not None and any(
            str(wanted) in {str(status), f"{status // 100}xx"} for wanted in self.status
        ):
            return True
        if failure.code in self.code:
            return True
        return self.when is not None and evaluate_condition(self.when, failure.scope)
