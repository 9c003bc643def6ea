"""ActivityDefinition: triggers, context, rules and tasks of a template, and its revisions."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import Field

from activityctl.domain.manifests.metadata import Metadata
from activityctl.domain.manifests.run_limits import Concurrency, PauseAfter, Throttle
from activityctl.domain.values.duration import Duration
from activityctl.domain.values.ids import RevisionId, revision_id
from activityctl.domain.values.model import JsonValue, Kinded, Manifest, Name, canonical

MAX_FOR_EACH_ITEMS: Final = 1_000
"""More instances than this of one task make a run hard to read and Temporal slow."""


class TriggerTemplate(Kinded):
    """A named trigger: `cron`, `interval` or `event`."""

    name: Name = Field(
        description="Unique among the triggers of the definition.", examples=["nightly"]
    )


class ContextTemplate(Kinded):
    """A named value that is looked up when the run is admitted; it sees those above it."""

    name: Name = Field(
        description="Seen by later expressions as context.<name>.", examples=["before"]
    )


class Rule(Manifest):
    """A condition that must hold, or the run is skipped with the reason."""

    when: str = Field(description="CEL; false skips the run.", examples=["params.threshold > 0.5"])
    otherwise: str | None = Field(
        default=None,
        description="The reason shown for the skip.",
        examples=["the threshold is too low"],
    )


class RetryPolicy(Manifest):
    """How often a failed attempt is repeated, and how long to wait before it."""

    max_attempts: int = Field(
        default=1, ge=1, le=1_000, description="The first one included.", examples=[5]
    )
    initial_interval: Duration = Field(
        default=timedelta(seconds=1), description="First wait.", examples=["10s"]
    )
    backoff: float = Field(
        default=2.0, ge=1, le=100, description="Factor from wait to wait.", examples=[2]
    )
    max_interval: Duration = Field(
        default=timedelta(minutes=5), description="Longest wait.", examples=["5m"]
    )

    def wait_after(self, attempt: int) -> timedelta:
        """Return the wait after the failed attempt of that number (from 1)."""
        exponent = min(attempt - 1, 100)
        seconds = self.initial_interval.total_seconds() * self.backoff**exponent
        return min(timedelta(seconds=min(seconds, 1e9)), self.max_interval)


class TaskTimeout(Manifest):
    """The limits of one attempt."""

    start_to_close: Duration = Field(
        default=timedelta(minutes=10),
        description="How long one attempt may work.",
        examples=["30s"],
    )
    schedule_to_start: Duration | None = Field(
        default=None,
        description="How long the task may wait for a free worker; never retried.",
        examples=["10m"],
    )


class TaskTemplate(Kinded):
    """A task to spawn: what it needs, when and how often, and its kind with its body."""

    name: Name = Field(description="Seen by later expressions as tasks.<name>.", examples=["score"])
    needs: tuple[Name, ...] = Field(
        default=(), description="Tasks that must succeed before.", examples=[["score"]]
    )
    when: str | None = Field(
        default=None,
        description="CEL; false skips the task.",
        examples=["tasks.score.output.json.risk > 0.8"],
    )
    for_each: str | list[JsonValue] | None = Field(
        default=None,
        description="A list; one instance for each `item` of it.",
        examples=["${ params.channels }", ["a", "b"]],
    )
    max_parallel: int | None = Field(
        default=None,
        ge=1,
        le=MAX_FOR_EACH_ITEMS,
        description="Instances at work at once.",
        examples=[4],
    )
    retry: RetryPolicy = Field(
        default=RetryPolicy(),
        description="When an attempt fails.",
        examples=[{"maxAttempts": 5, "initialInterval": "1s", "backoff": 2, "maxInterval": "5m"}],
    )
    timeout: TaskTimeout = Field(
        default=TaskTimeout(),
        description="Limits of one attempt.",
        examples=[{"startToClose": "30s", "scheduleToStart": "10m"}],
    )


class DefinitionSpec(Manifest):
    """What an ActivityDefinition says; its content hash names the revision."""

    description: str = Field(
        default="",
        description="For people.",
        examples=["Have large orders looked at by a person."],
    )
    params: dict[str, Any] = Field(
        default={},
        description="JSON Schema that a Subscription's params must fit.",
        examples=[{"type": "object", "properties": {"threshold": {"type": "number"}}}],
    )
    triggers: tuple[TriggerTemplate, ...] = Field(default=(), description="What starts a run.")
    concurrency: Concurrency = Field(
        default=Concurrency(),
        description="How many runs may be at work at once.",
        examples=[{"policy": "queue", "limit": 1}],
    )
    throttle: Throttle | None = Field(
        default=None,
        description="How many runs may start within a time.",
        examples=[{"limit": 10, "per": "1h"}],
    )
    pause_after: PauseAfter | None = Field(
        default=None,
        description="When a subscription that keeps failing is paused.",
        examples=[{"failures": 5}],
    )
    timeout: Duration = Field(
        default=timedelta(days=1), description="How long a run may take in all.", examples=["1h"]
    )
    context: tuple[ContextTemplate, ...] = Field(default=(), description="Resolved in order.")
    rules: tuple[Rule, ...] = Field(default=(), description="All hold, or the run is skipped.")
    tasks: tuple[TaskTemplate, ...] = Field(min_length=1, description="The tasks to spawn.")
    on_failure: tuple[TaskTemplate, ...] = Field(
        default=(), description="Tasks to spawn when the run fails or times out."
    )
    state: dict[str, JsonValue] = Field(
        default={},
        description="Rendered when a run succeeds; the next run reads it as `state`.",
        examples=[{"lastId": "${ tasks.score.output.json.id }"}],
    )


class ActivityDefinition(Manifest):
    """A template that Subscriptions instantiate."""

    metadata: Metadata
    spec: DefinitionSpec


@dataclass(frozen=True, slots=True)
class Revision:
    """One immutable content of a definition; `number` counts from 1 within it."""

    id: RevisionId
    definition: str
    number: int
    spec: dict[str, JsonValue]
    created_at: datetime


def revision_id_of(definition: ActivityDefinition) -> RevisionId:
    """Return the id of the definition's content; labels and annotations do not count."""
    return revision_id(definition.metadata.name, canonical(definition.spec))
