"""What a retry with the present revision means: how its tasks differ from those that failed."""

from activityctl.domain.manifests.definition import Revision
from activityctl.domain.values.json_form import View
from activityctl.domain.values.model import JsonValue
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class RevisionChange:
    """How the tasks of two revisions differ, by name."""

    definition: str
    before: int
    after: int
    changed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def view(self) -> View:
        """The JSON form."""
        return {
            "definition": self.definition,
            "before": self.before,
            "after": self.after,
            "changed": list(self.changed),
            "added": list(self.added),
            "removed": list(self.removed),
        }

    @property
    def lines(self) -> list[str]:
        """What a person should know before retrying."""
        if self.before == self.after:
            return [f"{self.definition}: revision {self.before} is still the present one"]
        head = f"{self.definition}: revision {self.before} → {self.after}, params as they are now"
        parts = (
            (self.changed, "changed: {}; where it had succeeded, its old output is kept"),
            (self.added, "new: {}; it runs"),
            (self.removed, "removed: {}; it does not run again"),
        )
        return [head, *(f"  {text.format(', '.join(names))}" for names, text in parts if names)]


def compare_revisions(before: Revision, after: Revision) -> RevisionChange:
    """Return how the main tasks of the revisions differ."""
    old, new = _tasks(before.spec), _tasks(after.spec)
    return RevisionChange(
        after.definition,
        before.number,
        after.number,
        tuple(name for name in new if name in old and new[name] != old[name]),
        tuple(name for name in new if name not in old),
        tuple(name for name in old if name not in new),
    )


def _tasks(spec: dict[str, JsonValue]) -> dict[str, JsonValue]:
    tasks = spec.get("tasks")
    found = tasks if isinstance(tasks, list) else []
    return {str(task["name"]): task for task in found if isinstance(task, dict)}
