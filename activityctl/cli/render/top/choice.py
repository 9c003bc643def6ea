"""TopChoice: which runs `top` shows, in which order, and which one is chosen; keys change it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from activityctl.frozen_dataclass import frozen_dataclass

SORTS: Final = ("age", "subscription", "status")
STATUSES: Final = ("all", "running", "queued", "stuck", "failed")
_OF_STATUS: Final[Mapping[str, frozenset[str]]] = {
    "running": frozenset({"running", "cancelling"}),
    "queued": frozenset({"queued"}),
    "failed": frozenset({"failed", "timed_out"}),
}
_ORDER: Final = ("failed", "timed_out", "cancelling", "running", "queued")


@frozen_dataclass
class TopChoice:
    """What a person chose to see."""

    text: str = ""
    """Only runs with this text; it is looked for in the database."""
    status: str = "all"
    sort: str = "age"
    chosen: str | None = None
    """The id of the run that is chosen; None for the first."""

    def shown(self, runs: Sequence[Any]) -> list[Any]:
        """Return the runs to show, in order."""
        found = [run for run in runs if self._has_status(run)]
        if self.sort == "subscription":
            found.sort(key=lambda run: run["subscription"])
        elif self.sort == "status":
            found.sort(key=lambda run: (not run["isStuck"], _place(run["status"])))
        return found

    def place(self, shown: Sequence[Any]) -> int:
        """Return the place of the chosen run among those that are shown; 0 if it has gone."""
        ids = [run["id"] for run in shown]
        return ids.index(self.chosen) if self.chosen in ids else 0

    def moved(self, shown: Sequence[Any], by: int) -> "TopChoice":
        """Choose the run so many lines further down, or the last or first one."""
        if not shown:
            return self
        place = min(max(self.place(shown) + by, 0), len(shown) - 1)
        return replace(self, chosen=shown[place]["id"])

    def with_next_sort(self) -> "TopChoice":
        """Sort by the next field."""
        return replace(self, sort=_after(SORTS, self.sort))

    def with_next_status(self) -> "TopChoice":
        """Show only the next status."""
        return replace(self, status=_after(STATUSES, self.status))

    def _has_status(self, run: Any) -> bool:
        if self.status == "stuck":
            return bool(run["isStuck"])
        return self.status == "all" or run["status"] in _OF_STATUS[self.status]


def _after(values: Sequence[str], value: str) -> str:
    return values[(values.index(value) + 1) % len(values)]


def _place(status: str) -> int:
    return _ORDER.index(status) if status in _ORDER else len(_ORDER)
