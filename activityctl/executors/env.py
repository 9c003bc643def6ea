"""The `env` context source: variables of the worker that its settings allow."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import BaseModel, Field

from activityctl.domain.values.model import JsonValue, Manifest
from activityctl.domain.values.text import FilledText
from activityctl.errors import TaskError
from activityctl.ports import SourceCall


class EnvBody(Manifest):
    """The fields of an `env` context: which variables to return."""

    names: list[FilledText] = Field(
        min_length=1,
        max_length=100,
        description="Names of variables; each must be one that the worker's settings allow "
        "(ACTIVITYCTL_ALLOWED_VARIABLES).",
        examples=[["REGION"]],
    )


class EnvSource:
    """Returns a map of variables. It is for settings, not for secrets, because it is stored."""

    kind: ClassVar[str] = "env"
    body: ClassVar[type[BaseModel]] = EnvBody

    def __init__(self, variables: Mapping[str, str | None]) -> None:
        """`variables` has the allowed ones; None stands for one that is not set."""
        self._variables = variables

    async def resolve(
        self,
        body: EnvBody,
        call: SourceCall,  # noqa: ARG002  # the port has it
    ) -> JsonValue:
        """Return the variables; raise TaskError for one that is not allowed or not set."""
        return {name: self._value(name) for name in body.names}

    def _value(self, name: str) -> str:
        if name not in self._variables:
            reason = "is not a variable that ACTIVITYCTL_ALLOWED_VARIABLES names on this worker"
            raise TaskError(f"{name} {reason}", code="variable_forbidden", retryable=False)
        value = self._variables[name]
        if value is None:
            message = f"{name} is not set on this worker"
            raise TaskError(message, code="variable_missing", retryable=False)
        return value
