"""Repeat: how a task runs in rounds."""

from datetime import timedelta
from typing import Final

from pydantic import Field

from activityctl.domain.values.duration import Duration
from activityctl.domain.values.model import Manifest

MAX_ROUNDS: Final = 1_000
"""Maximum number of rounds of one task."""


class Repeat(Manifest):
    """How often a task runs, one round after the other."""

    until: str | None = Field(
        default=None,
        description="A CEL expression that is evaluated after each round; if it is true, the task "
        "has succeeded. It reads the round as `tasks.<name>`. If it is still false after `max` "
        "rounds, the task fails. Default: the task runs `max` rounds.",
        examples=['tasks.job.output.json.state == "done"'],
    )
    max: int = Field(
        ge=1,
        le=MAX_ROUNDS,
        description="The maximum number of rounds.",
        examples=[20],
    )
    delay: Duration = Field(
        default=timedelta(0),
        description="The wait between two rounds. Default: 0s.",
        examples=["30s"],
    )
