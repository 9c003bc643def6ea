"""ReplayOptions and ReplayRequest: what a person wants to be run again, and how."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final, Literal

from activityctl.domain.values.ids import RunId
from activityctl.frozen_dataclass import frozen_dataclass

REPLAYS_AT_ONCE: Final = 100
"""How many replays one transaction stores."""


class ContextOf(StrEnum):
    """Which context a replay sees."""

    STORED = "stored"
    """That of the run before; only what it has not resolved is resolved now."""
    LIVE = "live"
    """All of it is resolved again, and the rules are asked again."""
    BY_REVISION = "by_revision"
    """The stored one if tasks had begun and the revision is the same; else as LIVE."""


@frozen_dataclass
class ReplayOptions:
    """What a replay calls again, with which keys, and which context it sees."""

    from_tasks: tuple[str, ...] = ()
    """Top-level tasks that run again although they succeeded, with all that come after them."""
    all_tasks: bool = False
    """Whether every task runs again."""
    new_keys: bool = False
    """Whether tasks that start again get other idempotency keys than before."""
    context: ContextOf = ContextOf.STORED
    relays: bool = True
    """Whether it may send calls of executors as transactions; one that was begun goes on anyway."""

    def as_json(self) -> dict[str, Any]:
        """Return the stored form."""
        return {
            "fromTasks": list(self.from_tasks),
            "allTasks": self.all_tasks,
            "newKeys": self.new_keys,
            "context": self.context.value,
            "relays": self.relays,
        }


KEEPS_FINISHED: Final = ReplayOptions()
"""What had succeeded is kept, and the rest starts again as it was."""


def options_of(stored: Mapping[str, Any]) -> ReplayOptions:
    """Return the options of their stored form."""
    return ReplayOptions(
        tuple(stored["fromTasks"]),
        stored["allTasks"],
        stored["newKeys"],
        ContextOf(stored["context"]),
        stored.get("relays", True),
    )


@frozen_dataclass
class ReplayRequest:
    """What a person wants: how runs are replayed, and why."""

    name: str
    """Under one name, a run is replayed once."""
    actor: str
    options: ReplayOptions = KEEPS_FINISHED
    latest: bool = False
    """Whether the present revision and params are used instead of those that the run had."""
    reason: str | None = None


@frozen_dataclass
class ReplayOutcome:
    """What became of the wish to replay one run."""

    replay_of: RunId
    outcome: Literal["replayed", "repeated", "open", "deleted", "unknown"]
    run_id: RunId | None = None
    """The new run, also if it had been asked for under the same name before."""
