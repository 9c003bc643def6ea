"""ContextTemplate: a value that a run looks up before its rules, and what governs the lookup."""

from datetime import timedelta
from typing import Final, Self

from pydantic import Field, ValidationInfo, model_validator

from activityctl.domain.tasks.guard import BreakerField, LimitField
from activityctl.domain.tasks.retry import RetryPolicy
from activityctl.domain.values.duration import LimitDuration
from activityctl.domain.values.model import JsonValue, Kinded, Name, is_written

MAX_LOOKUP: Final = timedelta(minutes=10)
"""The longest attempt to look up a value."""


class ContextTemplate(Kinded):
    """A named value that is looked up before the rules. It can use the values above it."""

    name: Name = Field(
        description="The value's name. Later expressions read it as `context.<name>`.",
        examples=["before"],
    )
    timeout: LimitDuration = Field(
        default=timedelta(seconds=10),
        description="How long one attempt may take, at most 10m. Default: 10s.",
        examples=["5s"],
    )
    retry: RetryPolicy = Field(
        default=RetryPolicy(),
        description="Which failed attempts are repeated, and how often. Default: no retry; with "
        "any field of it, three attempts.",
        examples=[{"maxAttempts": 3, "initialInterval": "1s"}],
    )
    optional: bool = Field(
        default=False,
        description="Whether the run goes on with `default` when the value cannot be looked up. "
        "Default: the run fails.",
        examples=[True],
    )
    default: JsonValue = Field(
        default=None,
        description="The value if an optional one cannot be looked up; it can have templates. "
        "Default: null.",
        examples=[{"active": False}],
    )

    breaker: BreakerField = None
    limit: LimitField = None

    @model_validator(mode="after")
    def _ends_in_time(self, info: ValidationInfo) -> Self:
        if is_written(info) and self.timeout > MAX_LOOKUP:
            raise ValueError("timeout is longer than 10m; let a task do what takes so long")
        return self

    @model_validator(mode="after")
    def _uses_its_default(self, info: ValidationInfo) -> Self:
        if is_written(info) and "default" in self.model_fields_set and not self.optional:
            raise ValueError("default has no effect without optional: true")
        return self
