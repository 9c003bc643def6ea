"""RetryPolicy: how often a failed attempt of a task is repeated, and how long to wait."""

from datetime import timedelta
from typing import Self

from pydantic import Field, ValidationInfo, model_validator

from activityctl.domain.values.duration import Duration
from activityctl.domain.values.model import Manifest, is_written


class RetryPolicy(Manifest):
    """How often a failed attempt is repeated, and how long to wait between attempts."""

    max_attempts: int = Field(
        default=1,
        ge=1,
        le=1_000,
        description="The maximum number of attempts, the first included. Default: 1, no retry.",
        examples=[5],
    )
    initial_interval: Duration = Field(
        default=timedelta(seconds=1),
        description="The wait after the first failed attempt. Default: 1s.",
        examples=["10s"],
    )
    backoff: float = Field(
        default=2.0,
        ge=1,
        le=100,
        description="The factor by which the wait grows after each further attempt. Default: 2.",
        examples=[2],
    )
    max_interval: Duration = Field(
        default=timedelta(minutes=5),
        description="The longest wait between two attempts, also when a server asks for a longer "
        "one with `Retry-After`. Default: 5m.",
        examples=["5m"],
    )

    @model_validator(mode="after")
    def _repeats(self, info: ValidationInfo) -> Self:
        if (
            is_written(info)
            and self.model_fields_set
            and "max_attempts" not in self.model_fields_set
        ):
            raise ValueError("has no effect without maxAttempts: by default there is one attempt")
        return self

    def wait_after(self, attempt: int, asked: timedelta = timedelta(0)) -> timedelta:
        """Return the wait after a failed attempt; attempts count from 1.

        `asked` is the wait that a server has asked for: at least that long, up to `maxInterval`.
        """
        exponent = min(attempt - 1, 100)
        seconds = self.initial_interval.total_seconds() * self.backoff**exponent
        return min(max(timedelta(seconds=min(seconds, 1e9)), asked), self.max_interval)
