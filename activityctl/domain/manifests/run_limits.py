"""The gate before a run: how many may work at once, how many may start in a time, and the rest.

What it does is decided in `overlap`; here is what a definition may say about it.
"""

from enum import StrEnum

from pydantic import Field

from activityctl.domain.values.duration import Duration
from activityctl.domain.values.model import Manifest


class OverlapPolicy(StrEnum):
    """What becomes of a firing while as many runs are at work as may be."""

    ALLOW = "allow"
    SKIP = "skip"
    QUEUE = "queue"
    REPLACE = "replace"


class Concurrency(Manifest):
    """How many runs of a subscription may be at work at once."""

    policy: OverlapPolicy = Field(
        default=OverlapPolicy.ALLOW,
        strict=False,
        description="A firing while `limit` runs are at work: `allow` it, `skip` it (a skipped "
        "run with the reason), `queue` it (a higher priority first, else in the order of arrival), "
        "or `replace` the oldest run, which is cancelled.",
        examples=["queue"],
    )
    key: str | None = Field(
        default=None,
        description="Counts apart for each value of this template; sees params, trigger, event.",
        examples=["${ trigger.payload.customer }"],
    )
    limit: int = Field(
        default=1, ge=1, le=10_000, description="Runs at work at once.", examples=[3]
    )


class Excess(StrEnum):
    """What becomes of a firing over the limit of a throttle."""

    SKIP = "skip"
    QUEUE = "queue"


class Throttle(Manifest):
    """How many runs of a subscription may start within a time."""

    limit: int = Field(ge=1, le=100_000, description="Runs that may start.", examples=[10])
    per: Duration = Field(description="Within how long, at any moment.", examples=["1h"])
    key: str | None = Field(
        default=None,
        description="Counts apart for each value of this template; sees params, trigger, event.",
        examples=["${ params.account }"],
    )
    excess: Excess = Field(
        default=Excess.SKIP,
        strict=False,
        description="A firing over the limit: `skip` it, with the reason, or `queue` it.",
        examples=["queue"],
    )


class PauseAfter(Manifest):
    """When a subscription that keeps failing is paused."""

    failures: int = Field(
        ge=1,
        le=1_000,
        description="Failed or timed out runs in a row, after which the subscription is paused. "
        "onFailure tasks of the last see `run.pauses`.",
        examples=[5],
    )
