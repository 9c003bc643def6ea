"""The fields of concurrency, throttle and auto-pause in a definition.

`domain.runs.concurrency` and `domain.runs.auto_pause` decide with them.
"""

from enum import StrEnum

from pydantic import Field, model_validator

from activityctl.domain.values.duration import Duration
from activityctl.domain.values.model import Manifest


class OverlapPolicy(StrEnum):
    """What happens to a firing while the maximum number of runs is running."""

    ALLOW = "allow"
    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"


class Concurrency(Manifest):
    """How many runs of a subscription may run at the same time."""

    policy: OverlapPolicy = Field(
        default=OverlapPolicy.ALLOW,
        strict=False,
        description="What to do with a firing while `limit` runs are running: `allow` starts it; "
        "`skip` makes it a `skipped` run; `queue` lets it wait, higher priority first, then in the "
        "order of arrival; `replace` cancels the oldest run and then starts it. Default: allow, so "
        "there is no limit.",
        examples=["queue"],
    )
    key: str | None = Field(
        default=None,
        description="A template over `params`, `trigger` and `event`. Runs are counted separately "
        "for each value. Default: all runs of the subscription are counted together.",
        examples=["${ trigger.payload.customer }"],
    )
    limit: int = Field(
        default=1,
        ge=1,
        le=10_000,
        description="How many runs may run at the same time. It has no effect with the policy "
        "`allow`. Default: 1.",
        examples=[3],
    )


class Excess(StrEnum):
    """What happens to a firing over the limit of a throttle."""

    SKIP = "skip"
    QUEUE = "queue"


class Throttle(Manifest):
    """How many runs of a subscription may start within a time."""

    limit: int = Field(
        ge=1, le=100_000, description="How many runs may start within `per`.", examples=[10]
    )
    per: Duration = Field(
        description="The length of the sliding time window: `1h` means any 60 minutes, not a "
        "clock hour.",
        examples=["1h"],
    )
    key: str | None = Field(
        default=None,
        description="A template over `params`, `trigger` and `event`. Runs are counted separately "
        "for each value. Default: all runs of the subscription are counted together.",
        examples=["${ params.account }"],
    )
    excess: Excess = Field(
        default=Excess.SKIP,
        strict=False,
        description="What to do with a firing over the limit: `skip` makes it a `skipped` run; "
        "`queue` lets it wait. Default: skip.",
        examples=["queue"],
    )


class PauseAfter(Manifest):
    """When a subscription that keeps failing is paused."""

    failures: int = Field(
        ge=1,
        le=1_000,
        description="How many runs in a row must fail or time out before the subscription is "
        "paused. In the `onFailure` tasks of the last one, `run.pauses` is true.",
        examples=[5],
    )


class Slo(Manifest):
    """By when a run should start and end; a run that is late is noted, not stopped."""

    start_within: Duration | None = Field(
        default=None,
        description="How long after its due time a run should have started. Jitter, a queue and a "
        "window count. Default: no limit.",
        examples=["1m"],
    )
    end_within: Duration | None = Field(
        default=None,
        description="How long after its due time a run should have ended. Default: no limit.",
        examples=["30m"],
    )

    @model_validator(mode="after")
    def _has_limits_in_order(self) -> "Slo":
        if self.start_within is None and self.end_within is None:
            raise ValueError("slo needs startWithin or endWithin")
        if self.start_within and self.end_within and self.end_within < self.start_within:
            raise ValueError("endWithin is shorter than startWithin; both count from the due time")
        return self
