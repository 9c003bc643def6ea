"""The verbs of manifests, and what they get and return."""

from collections.abc import Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Protocol

from activityctl.cli.session import Session
from activityctl.domain.gitops.history import Origin
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.gitops.plan import Kind, Wanted
from activityctl.domain.manifests.document import Document
from activityctl.domain.values.json_form import View
from activityctl.domain.values.selection import Selection
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.gitops.apply import Applied
from activityctl.operations.gitops.plan_impact import EventRange
from activityctl.wiring import Ports, RemotePorts

if TYPE_CHECKING:
    from activityctl.adapters.manifests.manifests import FilesRead


@frozen_dataclass
class Loaded:
    """Checked manifests, the files that they were read from, and what is wanted with them."""

    manifests: ManifestSet
    files: "FilesRead"
    wanted: Wanted


@frozen_dataclass
class Events:
    """The stored events that a plan is compared with."""

    span: EventRange
    since: str | None
    until: str | None


@frozen_dataclass
class ShownPlan:
    """A plan as it is shown, and its text to save."""

    view: View
    saved: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether applying the plan changes nothing."""
        return all(change["action"] == "unchanged" for change in self.view["changes"])


@frozen_dataclass
class ShownDeletion:
    """What deleting an object means, and the fingerprint of the live objects."""

    view: View
    name: str
    fingerprint: str


@frozen_dataclass
class WaitOptions:
    """How long to wait for the schedules, and whether to wait even if no worker is alive."""

    seconds: float
    wait_without_worker: bool = False


@frozen_dataclass
class SavedText:
    """A saved plan as it was read, what it wants, and what the history says of it."""

    text: str
    wanted: Wanted
    fingerprint: str
    origin: Origin = field(default_factory=Origin)


Differing = tuple[str, Document | None, Document | None]
"""KIND/NAME, the live document and the one of the files; None where there is none."""


class GitopsVerbs(Protocol):
    """Operations on manifests and on the objects that they made.

    `reviewed` is the fingerprint of a plan that was shown.
    """

    async def plan(
        self, loaded: Loaded, events: Events | None = None, *, is_saved: bool = False
    ) -> ShownPlan:
        """Return what apply would change."""
        ...

    async def review(self, loaded: Loaded) -> tuple[View, str]:
        """Return what apply would change, and the fingerprint with which it does only that."""
        ...

    async def diff(self, loaded: Loaded) -> Sequence[Differing]:
        """Return the objects that differ from the manifests, without literal credentials."""
        ...

    async def apply(
        self, loaded: Loaded, options: WaitOptions, reviewed: str | None = None
    ) -> Applied:
        """Change the objects to match the manifests; only as `reviewed`, if given."""
        ...

    async def apply_saved(self, saved: SavedText, options: WaitOptions) -> Applied:
        """Carry out a saved plan if it still fits."""
        ...

    async def preview_deletion(self, kind: Kind, reference: str) -> ShownDeletion:
        """Return what deleting an object means."""
        ...

    async def delete(
        self, kind: Kind, shown: ShownDeletion, options: WaitOptions, *, only_as_shown: bool
    ) -> Applied:
        """Delete an object."""
        ...

    async def history(self, kind: Kind, name: str) -> Sequence[View]:
        """Return every change of an object, the newest first."""
        ...

    async def roll_back(
        self, kind: Kind, name: str, to: int | None, options: WaitOptions
    ) -> Applied:
        """Restore an earlier version of an object."""
        ...

    async def export(self, selection: Selection, kind: Kind | None) -> Sequence[Document]:
        """Return live objects as manifests, without literal credentials."""
        ...


def gitops_of(session: Session, ports: Ports) -> GitopsVerbs:
    """Return the verbs by the API if that is what was opened, else by Postgres."""
    if isinstance(ports, RemotePorts):
        from activityctl.cli.verbs.remote_gitops import RemoteGitops

        return RemoteGitops(session, ports.api)
    from activityctl.cli.verbs.local_gitops import LocalGitops

    return LocalGitops(session, ports)
