"""ApplySet: the objects that one folder of manifests owns, and who changed them last."""

from collections import defaultdict
from collections.abc import Mapping

from activityctl.domain.gitops.history import PastApply
from activityctl.domain.gitops.plan import Present
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class ApplySet:
    """A set with at least one live object."""

    name: str
    members: tuple[tuple[str, str], ...]
    """Kind and name of each live object, sorted."""
    last: PastApply | None
    """The last apply that changed something in the set; None if it is not known."""

    def count(self, kind: str) -> int:
        """Return how many live objects of the kind are in the set."""
        return sum(member == kind for member, _ in self.members)


def apply_sets(present: Present, last: Mapping[str, PastApply]) -> list[ApplySet]:
    """Return the sets of all live objects, by name; `last` has the last apply of each set."""
    live = {name: found for name in present.subscriptions if (found := present.live(name))}
    owners = [
        *(
            ("ActivityDefinition", name, found.applyset)
            for name, found in present.definitions.items()
        ),
        *(("Subscription", name, found.applyset) for name, found in live.items()),
        *(("Calendar", name, found.applyset) for name, found in present.calendars.items()),
        *(("EventSource", name, found.applyset) for name, found in present.sources.items()),
    ]
    members: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for kind, name, owner in owners:
        if owner is not None:
            members[owner].append((kind, name))
    return [
        ApplySet(name, tuple(sorted(found)), last.get(name))
        for name, found in sorted(members.items())
    ]


def apply_set_view(found: ApplySet) -> View:
    """Return the JSON form of a set, with its members."""
    last = found.last
    return {
        "name": found.name,
        "definitions": found.count("ActivityDefinition"),
        "subscriptions": found.count("Subscription"),
        "calendars": found.count("Calendar"),
        "sources": found.count("EventSource"),
        "changedAt": format_timestamp(last.at) if last else None,
        "command": last.origin.command if last else None,
        "actor": last.origin.actor if last else None,
        "commit": last.origin.source_commit if last else None,
        "objects": [{"kind": kind, "name": name} for kind, name in found.members],
    }
