"""The verbs that explain events and requests, by the HTTP API."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from typing import Any, Final

from activityctl.adapters.remote.client import ApiClient
from activityctl.adapters.remote.stores import segment
from activityctl.cli.verbs.explain import Judged
from activityctl.domain.events.emit_result import ValidEvent
from activityctl.domain.routing.trigger_match import GroupingKey
from activityctl.domain.sources.http_text import read_http_text
from activityctl.domain.values.ids import canonical_json
from activityctl.domain.values.json_form import View
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.events.batching import in_batches
from activityctl.operations.events.dry_run import DryRunResult
from activityctl.operations.events.emit import CheckedEvent, bytes_of

_AT_ONCE: Final = 100
_LINES: Final = "application/x-ndjson"


@frozen_dataclass
class RemoteExplain:
    """Sends each verb to the API."""

    api: ApiClient

    async def stored(self, reference: str, subscription: str | None) -> View:
        """Explain a stored event, with the verdicts that were recorded when it was routed."""
        params = {"subscription": subscription}
        view: View = await self.api.get(f"/v1/events/{segment(reference)}/explanation", params)
        return view

    async def unsent(self, events: Sequence[ValidEvent], subscription: str | None) -> list[View]:
        """Explain events that are not sent yet."""
        found: list[View] = []
        for start in range(0, len(events), _AT_ONCE):
            some = events[start : start + _AT_ONCE]
            params = {"subscription": subscription}
            found += await self._ask("/v1/events/explain", _lines(some), params)
        return found

    async def request(
        self, source: str, content: bytes, name: str, subscription: str | None
    ) -> View:
        """Explain what an event source does with a saved request; the secrets are the server's."""
        read_http_text(content, name)  # what is wrong with the file is told here, with its name
        view: View = await self.api.post(
            f"/v1/sources/{segment(source)}/explain",
            params={"subscription": subscription},
            content=content,
            media_type="message/http",
            is_harmless=True,
        )
        return view

    async def dry_run(
        self, events: Iterable[CheckedEvent], explained: int
    ) -> AsyncIterator[Judged]:
        """Yield each event with the triggers that it would start."""
        left = explained
        async with aclosing(in_batches(events, bytes_of)) as batches:
            async for batch in batches:
                valid = [event for event in batch if isinstance(event, ValidEvent)]
                first, rest = valid[: max(left, 0)], valid[max(left, 0) :]
                left -= len(batch)
                judged = [
                    *await self._judge(first, has_sleeping=True),
                    *await self._judge(rest, has_sleeping=False),
                ]
                found = iter(judged)
                for event in batch:
                    yield event, next(found) if isinstance(event, ValidEvent) else ()

    async def _judge(
        self, events: Sequence[ValidEvent], *, has_sleeping: bool
    ) -> list[list[DryRunResult]]:
        params = {"dryRun": "true", "sleeps": "true" if has_sleeping else "false"}
        found: list[list[DryRunResult]] = []
        for start in range(0, len(events), _AT_ONCE):
            some = events[start : start + _AT_ONCE]
            for view in await self._ask("/v1/events", _lines(some), params):
                results = [*view["wakes"], *view.get("sleeps", ())]
                found.append([_result_of(each) for each in results])
        return found

    async def _ask(self, path: str, content: bytes, params: Any) -> list[View]:
        answer = await self.api.post(
            path, params=params, content=content, media_type=_LINES, is_harmless=True
        )
        items: list[View] = answer["items"]
        return items


def _lines(events: Sequence[ValidEvent]) -> bytes:
    return b"\n".join(canonical_json(dict(event.envelope.document)).encode() for event in events)


def _result_of(view: View) -> DryRunResult:
    key = view.get("key")
    return DryRunResult(
        view["subscription"],
        view["trigger"],
        view.get("part"),
        view["wakes"],
        view["gathers"],
        view["reason"],
        view["wantsAnother"],
        None if key is None else GroupingKey(key["text"], key["value"], key["error"]),
    )
