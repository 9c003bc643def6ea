"""The verbs that explain events and requests: nothing is stored."""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Protocol

from activityctl.cli.session import Session
from activityctl.domain.events.emit_result import ValidEvent
from activityctl.domain.values.json_form import View
from activityctl.operations.events.dry_run import DryRunResult
from activityctl.operations.events.emit import CheckedEvent
from activityctl.wiring import Ports, RemotePorts

Judged = tuple[CheckedEvent, Sequence[DryRunResult]]
"""An event, and what it would mean to triggers; nothing for one that is not valid."""


class ExplainVerbs(Protocol):
    """Operations that say what events and requests mean to what is applied."""

    async def stored(self, reference: str, subscription: str | None) -> View:
        """Explain a stored event, with the verdicts that were recorded when it was routed."""
        ...

    async def unsent(self, events: Sequence[ValidEvent], subscription: str | None) -> list[View]:
        """Explain events that are not sent yet."""
        ...

    async def request(
        self, source: str, content: bytes, name: str, subscription: str | None
    ) -> View:
        """Explain what an event source does with a saved HTTP request; `name` is its file."""
        ...

    def dry_run(self, events: Iterable[CheckedEvent], explained: int) -> AsyncIterator[Judged]:
        """Yield each event with the triggers that it would start.

        The first `explained` events have the other triggers too, with the reasons.
        """
        ...


def explain_of(session: Session, ports: Ports) -> ExplainVerbs:
    """Return the verbs by the API if that is what was opened, else by Postgres."""
    if isinstance(ports, RemotePorts):
        from activityctl.cli.verbs.remote_explain import RemoteExplain

        return RemoteExplain(ports.api)
    from activityctl.cli.verbs.local_explain import LocalExplain

    return LocalExplain(session, ports)
