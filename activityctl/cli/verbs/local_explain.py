"""The verbs that explain events and requests, by the ports of Postgres, in this process."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing

from activityctl import wiring
from activityctl.cli.session import Session, now
from activityctl.cli.verbs.explain import Judged
from activityctl.domain.events.emit_result import ValidEvent
from activityctl.domain.sources.http_text import read_http_text
from activityctl.domain.values.json_form import View
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.events.batching import in_batches
from activityctl.operations.events.dry_run import DryRunIndex, DryRunResult
from activityctl.operations.events.emit import CheckedEvent, bytes_of
from activityctl.operations.events.explain_event import explain_stored, explain_unsent
from activityctl.operations.events.explain_request import RequestReader, explain_request
from activityctl.wiring import Ports


@frozen_dataclass
class LocalExplain:
    """Carries out each verb here."""

    session: Session
    ports: Ports

    async def stored(self, reference: str, subscription: str | None) -> View:
        """Explain a stored event, with the verdicts that were recorded when it was routed."""
        ports = self.ports
        return (await explain_stored(ports.catalog, ports.events, reference, subscription)).view

    async def unsent(self, events: Sequence[ValidEvent], subscription: str | None) -> list[View]:
        """Explain events that are not sent yet."""
        found = await explain_unsent(self.ports.catalog, events, subscription)
        return [each.view for each in found]

    async def request(
        self, source: str, content: bytes, name: str, subscription: str | None
    ) -> View:
        """Explain what an event source does with a saved request; the secrets are those here."""
        request = read_http_text(content, name)
        secrets = wiring.open_secrets(self.session.settings)
        reader = RequestReader(self.ports.sources, secrets, wiring.parse_hook_body, now)
        found = await explain_request(self.ports.catalog, reader, source, request, subscription)
        return found.view

    async def dry_run(
        self, events: Iterable[CheckedEvent], explained: int
    ) -> AsyncIterator[Judged]:
        """Yield each event with the triggers that it would start."""
        index = DryRunIndex(await self.ports.catalog.present())
        number = 0
        async with aclosing(in_batches(events, bytes_of)) as batches:
            async for batch in batches:
                for event in batch:
                    number += 1
                    yield event, _judged(index, event, is_explained=number <= explained)


def _judged(
    index: DryRunIndex, event: CheckedEvent, *, is_explained: bool
) -> Sequence[DryRunResult]:
    if not isinstance(event, ValidEvent):
        return ()
    document = event.envelope.document
    return index.results_for(document) if is_explained else index.woken(document)
