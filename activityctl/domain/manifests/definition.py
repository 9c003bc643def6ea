"""ActivityDefinition: the triggers, context, rules and tasks of an automation, and revisions."""

from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import Field

from activityctl.domain.manifests.context import ContextTemplate
from activityctl.domain.manifests.metadata import Metadata
from activityctl.domain.manifests.run_limits import (
    Concurrency,
    Excess,
    OverlapPolicy,
    PauseAfter,
    Slo,
    Throttle,
)
from activityctl.domain.manifests.task_template import TaskTemplate
from activityctl.domain.tasks.limit import Limit
from activityctl.domain.values.duration import LimitDuration
from activityctl.domain.values.ids import RevisionId, revision_id
from activityctl.domain.values.model import (
    JsonValue,
    Kinded,
    Manifest,
    Name,
    canonical,
)
from activityctl.domain.values.text import Text
from activityctl.frozen_dataclass import frozen_dataclass

ON_MISSED: Final = "onMissed"
"""The trigger of the runs that tell of missed firings. No trigger of a definition can have it."""
ON_RECOVERED: Final = "onRecovered"
"""The trigger of the runs that tell that a subscription works again."""
NOTICE_TRIGGERS: Final = frozenset({ON_MISSED, ON_RECOVERED})


class TriggerTemplate(Kinded):
    """A named trigger: `cron`, `interval`, `event` or `chain`."""

    name: Name = Field(
        description="The trigger's name, unique in the definition.", examples=["nightly"]
    )


class Rule(Manifest):
    """A condition. If it is false, the run is skipped."""

    when: str = Field(
        description="A CEL expression that must be true for the run to start.",
        examples=["params.threshold > 0.5"],
    )
    otherwise: Text | None = Field(
        default=None,
        description="The reason to show when the run is skipped. Default: the text of `when`.",
        examples=["the threshold is too low"],
    )


class DefinitionSpec(Manifest):
    """The content of an ActivityDefinition. Each change of it makes a new revision."""

    description: Text = Field(
        default="",
        description="A description for people.",
        examples=["Have large orders looked at by a person."],
    )
    params: dict[str, Any] = Field(
        default={},
        description="A JSON Schema (draft 2020-12) for the params of Subscriptions. Default: "
        "Subscriptions cannot give params.",
        examples=[{"type": "object", "properties": {"threshold": {"type": "number"}}}],
    )
    triggers: tuple[TriggerTemplate, ...] = Field(
        default=(),
        description="What starts a run. Default: runs are only started by hand.",
    )
    concurrency: Concurrency = Field(
        default=Concurrency(),
        description="How many runs of a subscription may run at the same time. Default: no limit.",
        examples=[{"policy": "queue", "limit": 1}],
    )
    throttle: Throttle | None = Field(
        default=None,
        description="How many runs of a subscription may start within a time. Default: no limit.",
        examples=[{"limit": 10, "per": "1h"}],
    )
    pause_after: PauseAfter | None = Field(
        default=None,
        description="When a subscription that keeps failing is paused. Default: never.",
        examples=[{"failures": 5}],
    )
    slo: Slo | None = Field(
        default=None,
        description="By when a run should start and end. A run that is late is noted in its log, "
        "counted, and an event `activityctl.run.late` says so. Default: no run is late.",
        examples=[{"startWithin": "1m", "endWithin": "30m"}],
    )
    timeout: LimitDuration = Field(
        default=timedelta(days=1),
        description="How long a run may take in total. When the time is up, the run ends as "
        "`timed_out`. Default: 1d.",
        examples=["1h"],
    )
    context: tuple[ContextTemplate, ...] = Field(
        default=(),
        description="Values that are looked up, in order, when a run is admitted.",
    )
    rules: tuple[Rule, ...] = Field(
        default=(),
        description="Conditions that must all be true. Otherwise the run is skipped.",
    )
    limits: tuple[Limit, ...] = Field(
        default=(),
        description="Limits of resources that tasks use, such as the calls a service allows. "
        "Definitions that declare the same name share the limit, and declare it in the same way.",
    )
    tasks: tuple[TaskTemplate, ...] = Field(min_length=1, description="The tasks of a run.")
    on_failure: tuple[TaskTemplate, ...] = Field(
        default=(), description="The tasks to run after a run has failed or timed out."
    )
    on_success: tuple[TaskTemplate, ...] = Field(
        default=(),
        description="The tasks to run after all tasks have succeeded. If one of them fails, the "
        "run still ends as succeeded; its reason says which one failed.",
    )
    on_skip: tuple[TaskTemplate, ...] = Field(
        default=(),
        description="The tasks to run when concurrency, a throttle, a rule or a `stop` task skips "
        "a run. The run ends as skipped, whatever becomes of them. At most ten runs of a "
        "subscription run them at once, then one every 6 s. Excluded days, windows, misfires and "
        "a pause do not run them.",
    )
    on_missed: tuple[TaskTemplate, ...] = Field(
        default=(),
        description="The tasks of a run of its own, of the trigger `onMissed`, when firings were "
        "missed. All that were missed in one outage are told together, in `trigger.payload`.",
    )
    on_recovered: tuple[TaskTemplate, ...] = Field(
        default=(),
        description="The tasks of a run of its own, of the trigger `onRecovered`, when a run "
        "succeeds after others have failed or were missed. `trigger.payload` says how many.",
    )
    state: dict[str, JsonValue] = Field(
        default={},
        description="Values to store when a run succeeds; templates can use the results of its "
        "tasks. The next run reads the values as `state`.",
        examples=[{"lastId": "${ tasks.score.output.json.id }"}],
    )

    @property
    def skips_at_gates(self) -> bool:
        """Whether concurrency or a throttle may skip a run."""
        policy, throttle = self.concurrency.policy, self.throttle
        skips = policy in {OverlapPolicy.SKIP, OverlapPolicy.REPLACE}
        return skips or (throttle is not None and throttle.excess is Excess.SKIP)

    @property
    def all_tasks(self) -> tuple[TaskTemplate, ...]:
        """The tasks of all phases; no two have the same name."""
        ends = (*self.on_failure, *self.on_success, *self.on_skip)
        return (*self.tasks, *ends, *self.on_missed, *self.on_recovered)

    def for_trigger(self, trigger: str) -> "DefinitionSpec":
        """Return what a run of that trigger carries out; for a notice, only the tasks that tell it.

        A notice has no context, rules, gates and last tasks, so nothing can keep it back.
        """
        if trigger not in NOTICE_TRIGGERS:
            return self
        tasks = self.on_missed if trigger == ON_MISSED else self.on_recovered
        return self.model_copy(update={**_NOTHING_ELSE, "tasks": tasks})


_NOTHING_ELSE: Final[dict[str, Any]] = {
    **dict.fromkeys(("triggers", "context", "rules", "on_failure", "on_success", "on_skip"), ()),
    **dict.fromkeys(("on_missed", "on_recovered"), ()),
    **dict.fromkeys(("throttle", "pause_after", "slo")),
    "concurrency": Concurrency(),
    "state": {},
}


class ActivityDefinition(Manifest):
    """An automation: what starts a run, and which tasks a run has. Subscriptions use it."""

    metadata: Metadata
    spec: DefinitionSpec


@frozen_dataclass
class Revision:
    """One immutable content of a definition; `number` counts the definition's revisions from 1."""

    id: RevisionId
    definition: str
    number: int
    spec: dict[str, JsonValue]
    created_at: datetime


def revision_id_of(definition: ActivityDefinition) -> RevisionId:
    """Return the id of the definition's current content; labels and annotations do not count."""
    return revision_id(definition.metadata.name, canonical(definition.spec))
