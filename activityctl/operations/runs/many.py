"""Act on many objects, one after the other, and tell what became of each."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from activityctl.domain.values.json_form import View
from activityctl.errors import ActivityctlError, ServerNotReadyError, UnreachableError
from activityctl.frozen_dataclass import frozen_dataclass

Item = TypeVar("Item")

REFUSED: Final = "refused"
UNCHANGED: Final = "unchanged"


@frozen_dataclass
class Outcome:
    """What a command did with one object."""

    id: str
    name: str
    """What the command line calls it: the name of a subscription, the id of a run."""
    outcome: str
    """What was done, such as `paused`; `unchanged`, or `refused` with the error."""
    error: str | None = None
    run: str | None = None
    """The id of the run that was started."""

    @property
    def is_refused(self) -> bool:
        """Whether nothing was done because of an error."""
        return self.outcome == REFUSED


async def act_on_each(
    items: Sequence[Item],
    act: Callable[[Item], Awaitable[Outcome]],
    refused: Callable[[Item, str], Outcome],
    *,
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> list[Outcome]:
    """Act on every item, in order; return one outcome for each.

    An item that is refused has the outcome that `refused` makes of its error, and the next ones
    follow. Only a database that does not answer ends it: UnreachableError, ServerNotReadyError.
    `on_progress` takes how many are done and how many there are.
    """
    outcomes: list[Outcome] = []
    for item in items:
        try:
            outcomes.append(await act(item))
        except (UnreachableError, ServerNotReadyError):
            raise
        except ActivityctlError as error:
            outcomes.append(refused(item, error.message))
        on_progress(len(outcomes), len(items))
    return outcomes


def counts_text(words: Sequence[str]) -> str:
    """Return how often each word occurs, in the order of their first: `12 paused, 1 refused`."""
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return ", ".join(f"{count:,} {word}" for word, count in counts.items())


def outcome_view(outcome: Outcome, status: str | None = None) -> View:
    """Return the JSON view of an outcome; `status` is that of its run, once it has ended."""
    return {
        "id": outcome.id,
        "name": outcome.name,
        "outcome": outcome.outcome,
        "error": outcome.error,
        "run": outcome.run,
        "status": status,
    }
