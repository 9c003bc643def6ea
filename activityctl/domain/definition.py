"""ActivityDefinition: triggers, context, rules and tasks of a template, and its revisions."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import Field

from activityctl.domain.duration import Duration
from activityctl.domain.ids import RevisionId, revision_id
from activityctl.domain.model import JsonValue, Kinded, Manifest, Name, canonical

MAX_FOR_EACH_ITEMS: Final = 1_000
"""More instances than this of one task make a run hard to read and Temporal slow."""


class Metadata(Manifest):
    """Who a manifest is: its name, and labels and annotations for people and tools."""

    name: Name = Field(description="Unique among the objects of its kind.")
    labels: dict[str, str] = Field(default={}, description="For selection with -l.")
    annotations: dict[str, str] = Field(default={}, description="Free text for people and tools.")


class TriggerTemplate(Kinded):
    """A named trigger: `cron` or `interval`."""

    name: Name = Field(description="Unique among the triggers of the definition.")


class ContextTemplate(Kinded):
    """A named value that is looked up when the run is admitted; it sees those above it."""

    name: Name = Field(description="Seen by later expressions as context.<name>.")


class Rule(Manifest):
    """A condition that must hold, or the run is skipped with the reason."""

    when: str = Field(description="CEL; false skips the run.")
    otherwise: str | None = Field(default=None, description="The reason shown for the skip.")


class RetryPolicy(Manifest):
    """How often a failed attempt is repeated, and how long to wait before it."""

    max_attempts: int = Field(default=1, ge=1, le=1_000, description="The first one included.")
    initial_interval: Duration = Field(default=timedelta(seconds=1), description="First wait.")
    backoff: float = Field(default=2.0, ge=1, le=100, description="Factor from wait to wait.")
    max_interval: Duration = Field(default=timedelta(minutes=5), description="Longest wait.")

    def wait_after(self, attempt: int) -> timedelta:
        """Return the wait after the failed attempt of that number (from 1)."""
        exponent = min(attempt - 1, 100)
        seconds = self.initial_interval.total_seconds() * self.backoff**exponent
        return min(timedelta(seconds=min(seconds, 1e9)), self.max_interval)


class TaskTimeout(Manifest):
    """The limits of one attempt."""

    start_to_close: Duration = Field(
        default=timedelta(minutes=10), description="How long one attempt may work."
    )
    schedule_to_start: Duration | None = Field(
        default=None, description="How long the task may wait for a free worker; never retried."
    )


class TaskTemplate(Kinded):
    """A task to spawn: what it needs, when and how often, and its kind with its body."""

    name: Name = Field(description="Seen by later expressions as tasks.<name>.")
    needs: tuple[Name, ...] = Field(default=(), description="Tasks that must succeed before.")
    when: str | None = Field(default=None, description="CEL; false skips the task.")
    for_each: str | list[JsonValue] | None = Field(
        default=None, description="A list; one instance for each `item` of it."
    )
    max_parallel: int | None = Field(
        default=None, ge=1, le=MAX_FOR_EACH_ITEMS, description="Instances at work at once."
    )
    retry: RetryPolicy = Field(default=RetryPolicy(), description="When an attempt fails.")
    timeout: TaskTimeout = Field(default=TaskTimeout(), description="Limits of one attempt.")


class DefinitionSpec(Manifest):
    """What an ActivityDefinition says; its content hash names the revision."""

    description: str = Field(default="", description="For people.")
    params: dict[str, Any] = Field(
        default={}, description="JSON Schema that a Subscription's params must fit."
    )
    triggers: tuple[TriggerTemplate, ...] = Field(default=(), description="What starts a run.")
    timeout: Duration = Field(
        default=timedelta(days=1), description="How long a run may take in all."
    )
    context: tuple[ContextTemplate, ...] = Field(default=(), description="Resolved in order.")
    rules: tuple[Rule, ...] = Field(default=(), description="All hold, or the run is skipped.")
    tasks: tuple[TaskTemplate, ...] = Field(min_length=1, description="The tasks to spawn.")
    on_failure: tuple[TaskTemplate, ...] = Field(
        default=(), description="Tasks to spawn when the run fails or times out."
    )
    state: dict[str, JsonValue] = Field(
        default={}, description="Rendered when a run succeeds; the next run reads it as `state`."
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


def revision_of(definition: ActivityDefinition) -> RevisionId:
    """Return the id of the definition's content; labels and annotations do not count."""
    return revision_id(definition.metadata.name, canonical(definition.spec))
