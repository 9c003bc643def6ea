"""TaskTemplate: a task as a definition writes it."""

from typing import Final

from pydantic import Field

from activityctl.domain.tasks.retry import RetryPolicy
from activityctl.domain.tasks.time_limits import TaskTimeout
from activityctl.domain.values.model import JsonValue, Kinded, Name

MAX_FOR_EACH_ITEMS: Final = 10_000
"""Maximum number of instances of one task. With more, a run is hard to read."""
PARALLEL: Final = 20
"""How many instances of a forEach run at the same time if its `maxParallel` does not say it.

So that one run does not take all places of a worker.
"""


class TaskTemplate(Kinded):
    """A task of a run: its kind, which tasks it needs, and when and how often it runs."""

    name: Name = Field(
        description="The task's name. Later expressions read its result as `tasks.<name>`.",
        examples=["score"],
    )
    needs: tuple[Name, ...] = Field(
        default=(),
        description="The tasks that must succeed before this task starts. If one of them does "
        "not succeed, this task is skipped.",
        examples=[["score"]],
    )
    when: str | None = Field(
        default=None,
        description="A CEL expression. If it is false, the task is skipped.",
        examples=["tasks.score.output.json.risk > 0.8"],
    )
    for_each: str | list[JsonValue] | None = Field(
        default=None,
        description="A list, or a template whose value is a list. The task runs once for each "
        f"entry, and expressions read the entry as `item`. At most {MAX_FOR_EACH_ITEMS:,} entries. "
        "Default: the task runs once.",
        examples=["${ params.channels }", ["a", "b"]],
    )
    max_parallel: int | None = Field(
        default=None,
        ge=1,
        le=MAX_FOR_EACH_ITEMS,
        description="How many instances of `forEach` may run at the same time. "
        f"Default: {PARALLEL}; all, if they only wait.",
        examples=[4],
    )
    retry: RetryPolicy = Field(
        default=RetryPolicy(),
        description="Which failed attempts are repeated, and how often. Default: three attempts if "
        "the task is safe to repeat, otherwise one; see `maxAttempts`.",
        examples=[{"maxAttempts": 5, "initialInterval": "1s", "backoff": 2, "maxInterval": "5m"}],
    )
    timeout: TaskTimeout = Field(
        default=TaskTimeout(),
        description="The time limits of the task.",
        examples=[{"startToClose": "30s", "total": "1h"}],
    )
