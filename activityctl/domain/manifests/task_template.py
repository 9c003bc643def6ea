"""TaskTemplate: a task as a definition writes it."""

from typing import Final

from pydantic import Field

from activityctl.domain.tasks.engine_kinds import ENGINE_KINDS
from activityctl.domain.tasks.guard import BreakerField, LimitField
from activityctl.domain.tasks.repeat import Repeat
from activityctl.domain.tasks.retry import RetryPolicy
from activityctl.domain.tasks.time_limits import TaskTimeout
from activityctl.domain.values.model import JsonValue, Kinded, Manifest, Name

MAX_FOR_EACH_ITEMS: Final = 10_000
"""Maximum number of instances of one task. With more, a run is hard to read."""
PARALLEL: Final = 20
"""How many instances of a forEach run at the same time if its `maxParallel` does not say it.

So that one run does not take all places of a worker.
"""


GROUP: Final = "tasks"
"""The kind of a task that has tasks of its own."""
SWITCH: Final = "switch"
"""The kind of a task that chooses which tasks run."""
BLOCK_KINDS: Final = (GROUP, SWITCH)
"""The kinds of tasks that have tasks in them."""


class SwitchCase(Manifest):
    """One case of a `switch`: a condition, and the tasks that run if it is the first that holds."""

    when: str = Field(
        description="A CEL expression. The first case whose `when` is true is chosen.",
        examples=["params.amount > 1000"],
    )
    tasks: tuple["TaskTemplate", ...] = Field(
        min_length=1, description="The tasks that run if this case is chosen."
    )


class Switch(Manifest):
    """A choice: the tasks of the first case whose `when` is true run, and those of no other."""

    cases: tuple[SwitchCase, ...] = Field(
        min_length=1, description="The cases, which are tried in this order."
    )
    default: tuple["TaskTemplate", ...] = Field(
        default=(),
        description="The tasks that run if no `when` is true. Default: none, and the switch "
        "succeeds.",
    )


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
    repeat: Repeat | None = Field(
        default=None,
        description="Runs the task in rounds, until a condition is true. Default: one round.",
        examples=[{"until": 'tasks.job.output.json.state == "done"', "max": 20, "delay": "30s"}],
    )
    continue_on_error: bool = Field(
        default=False,
        description="If true, a failure of this task does not fail the run, and the tasks that "
        "need it still start. They can read `tasks.<name>.status`. Default: false.",
        examples=[True],
    )
    undo: tuple["TaskTemplate", ...] = Field(
        default=(),
        description="Tasks that undo the effects of this task. They run if this task succeeded "
        "and the run later fails, is cancelled or times out; what was done last is undone first.",
    )
    tasks: tuple["TaskTemplate", ...] | None = Field(
        default=None,
        min_length=1,
        description="Makes the task a group of these tasks. It succeeds if none of them fails.",
    )
    switch: Switch | None = Field(
        default=None, description="Makes the task a choice: the first case that holds runs."
    )
    breaker: BreakerField = None
    limit: LimitField = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """The keys that say what the task does; a checked task has exactly one."""
        blocks = ((GROUP, self.tasks), (SWITCH, self.switch))
        return (*super().kinds, *(kind for kind, block in blocks if block is not None))

    @property
    def has_children(self) -> bool:
        """Whether it is a group or a choice, so that other tasks run in it."""
        return self.tasks is not None or self.switch is not None

    @property
    def blocks(self) -> tuple[tuple["TaskTemplate", ...], ...]:
        """The lists of tasks in it: those of a group, or of each case and the default."""
        if self.switch is not None:
            return (*(case.tasks for case in self.switch.cases), self.switch.default)
        return () if self.tasks is None else (self.tasks,)

    @property
    def children(self) -> tuple["TaskTemplate", ...]:
        """The tasks in it, of all its lists, without those that undo it."""
        return tuple(child for block in self.blocks for child in block)

    @property
    def most_parallel(self) -> int | None:
        """How many instances may run at the same time; None for all.

        What the engine carries out itself takes no place of a worker.
        """
        if not ENGINE_KINDS.keys().isdisjoint(self.kinds):
            return self.max_parallel
        return self.max_parallel or PARALLEL

    @property
    def has_rounds(self) -> bool:
        """Whether it runs in rounds, because of `repeat`, or of `retry` of a group."""
        is_retried = self.has_children and self.retry.attempts_of(GROUP, None) > 1
        return self.repeat is not None or is_retried
