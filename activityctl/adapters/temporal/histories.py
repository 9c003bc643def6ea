"""Replays recorded workflow histories, of files or of the server, with the installed code."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.client import Client, WorkflowExecution, WorkflowHistory
from temporalio.converter import PayloadCodec
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig
from temporalio.service import RPCError
from temporalio.worker import (
    Replayer,
    UnsandboxedWorkflowRunner,
    WorkflowInstance,
    WorkflowInstanceDetails,
    WorkflowReplayResult,
)

from activityctl.adapters.temporal.failures import converter_with
from activityctl.adapters.temporal.history_files import read_histories
from activityctl.adapters.temporal.payload_codec import UnreadablePayloadError
from activityctl.domain.runs.verification import VerifiedHistory, parting_event, plain_reason
from activityctl.domain.timing.firing import FiringRef, firing_key
from activityctl.errors import UnreachableError
from activityctl.workflows.alarm import ALARM_WORKFLOW_NAME, AlarmWorkflow
from activityctl.workflows.run_activity import WORKFLOW_NAME, RunActivityWorkflow
from activityctl.workflows.run_batch import BATCH_WORKFLOW_NAME, RunBatchWorkflow

_AT_ONCE: Final = 16
"""How many histories are fetched at the same time."""
_SCHEDULED_AT: Final = "TemporalScheduledStartTime"
_LONGEST_NAME: Final = 150


class TemporalHistories:
    """Implements the Histories port."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[Client]],
        codec: Callable[[], Awaitable[PayloadCodec | None]],
    ) -> None:
        """Remember `connect`, which is called only for histories of the server.

        `codec` returns what decrypts the payloads, or None.
        """
        self._connect = connect
        self._codec = codec

    async def verify_files(self, paths: Sequence[Path]) -> AsyncIterator[VerifiedHistory]:
        """Replay the histories in these files; InvalidInputError for a file that has none."""
        sources: dict[int, str] = {}
        codec = await self._codec()

        async def histories() -> AsyncIterator[WorkflowHistory]:
            async for path, history in read_histories(paths):
                sources[id(history)] = str(path)
                yield history

        async for result, reached in _replayed(histories(), codec):
            yield await _verified(result, reached, sources.pop(id(result.history), None), codec)

    async def verify_server(
        self, *, only_open: bool, since: datetime | None, limit: int, save_to: Path | None
    ) -> AsyncIterator[VerifiedHistory]:
        """Replay the newest histories of the server, and save them to a folder if one is given."""
        client = await self._connect()
        codec = client.data_converter.payload_codec

        async def histories() -> AsyncIterator[WorkflowHistory]:
            executions = client.list_workflows(_query(since, only_open=only_open), limit=limit)
            async for some in _in_parts(executions):
                for history in await asyncio.gather(*(_fetched(client, each) for each in some)):
                    if save_to is not None:
                        await asyncio.to_thread(_save, history, save_to)
                    yield history

        try:
            async for result, reached in _replayed(histories(), codec):
                yield await _verified(result, reached, None, codec)
        except RPCError as error:
            raise UnreachableError(
                f"Temporal did not give the histories: {error.message}", hint="activityctl doctor"
            ) from error


async def _in_parts(
    executions: AsyncIterator[WorkflowExecution],
) -> AsyncIterator[list[WorkflowExecution]]:
    part: list[WorkflowExecution] = []
    async for execution in executions:
        part.append(execution)
        if len(part) == _AT_ONCE:
            yield part
            part = []
    if part:
        yield part


async def _fetched(client: Client, execution: WorkflowExecution) -> WorkflowHistory:
    handle = client.get_workflow_handle(execution.id, run_id=execution.run_id)
    return await handle.fetch_history()


def _query(since: datetime | None, *, only_open: bool) -> str:
    names = (WORKFLOW_NAME, BATCH_WORKFLOW_NAME, ALARM_WORKFLOW_NAME)
    types = f"WorkflowType IN ({', '.join(repr(name) for name in names)})"
    parts = [types, *(["ExecutionStatus = 'Running'"] if only_open else [])]
    if since is not None:
        parts.append(f"StartTime >= '{since.astimezone(UTC).isoformat()}'")
    return " AND ".join(parts)


class _Reaching(UnsandboxedWorkflowRunner):
    """Runs workflows, and notes how far the history of each was replayed."""

    def __init__(self) -> None:
        self.reached: dict[str, int] = {}
        """The last event that the code accepted, by the run id of Temporal."""

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        """Return an instance that notes each activation."""
        instance = super().create_instance(det)
        activate = instance.activate

        def noted(act: WorkflowActivation) -> WorkflowActivationCompletion:
            self.reached[act.run_id] = act.history_length
            return activate(act)

        instance.activate = noted  # type: ignore[method-assign]  # only this instance
        return instance


async def _replayed(
    histories: AsyncIterator[WorkflowHistory], codec: PayloadCodec | None
) -> AsyncIterator[tuple[WorkflowReplayResult, Mapping[str, int]]]:
    """Yield the result of each replay, and how far each was replayed; the SDK logs nothing."""
    runner = _Reaching()
    replayer = Replayer(
        workflows=[RunActivityWorkflow, RunBatchWorkflow, AlarmWorkflow],
        workflow_runner=runner,
        data_converter=converter_with(codec),
        build_id="verify",  # else the SDK reads every loaded module, for half a second
        runtime=Runtime(telemetry=TelemetryConfig(logging=LoggingConfig(filter="OFF"))),
    )
    async with replayer.workflow_replay_iterator(histories) as results:
        async for result in results:
            yield result, runner.reached


def _save(history: WorkflowHistory, folder: Path) -> None:
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", history.workflow_id)[-_LONGEST_NAME:]
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(json.loads(history.to_json()), indent=1)
    (folder / f"{name}.json").write_text(text + "\n", "utf-8")


async def _verified(
    result: WorkflowReplayResult,
    reached: Mapping[str, int],
    source: str | None,
    codec: PayloadCodec | None,
) -> VerifiedHistory:
    history = result.history
    runs = tuple(await _runs(history, codec))
    if result.replay_failure is None:
        return VerifiedHistory(history.workflow_id, runs, source)
    reason = plain_reason(str(result.replay_failure))
    event_id = parting_event(reason, reached.get(history.run_id))
    types = (each.event_type for each in history.events if each.event_id == event_id)
    names = [EventType.Name(each).removeprefix("EVENT_TYPE_").lower() for each in types]
    if not names:
        return VerifiedHistory(history.workflow_id, runs, source, reason)
    return VerifiedHistory(history.workflow_id, runs, source, reason, event_id, names[0])


async def _runs(history: WorkflowHistory, codec: PayloadCodec | None) -> list[str]:
    """Return the runs of the firings with which the workflow began, as far as they can be read.

    An alarm begins without any, and gets them from Postgres.
    """
    first, *events = history.events
    started = first.workflow_execution_started_event_attributes
    values = [value async for value in _decoded(started.input.payloads[:1], codec)]
    if started.workflow_type.name == ALARM_WORKFLOW_NAME:
        markers = (event.marker_recorded_event_attributes for event in events)
        results = (payload for each in markers for payload in each.details["result"].payloads)
        rung = [value async for value in _decoded(results, codec) if _is_rung(value)]
        values = [value["firings"] for value in rung]
    found: list[str] = []
    with contextlib.suppress(ValueError, TypeError):  # somebody else started it
        for value in values:
            for firing in value if isinstance(value, list) else [value]:
                reference = FiringRef(**firing)
                key = reference.firing_key or _nominal_key(history)
                found.append(replace(reference, firing_key=key).run_id)
    return found


def _is_rung(value: Any) -> bool:
    return isinstance(value, dict) and "firings" in value


async def _decoded(payloads: Iterable[Payload], codec: PayloadCodec | None) -> AsyncIterator[Any]:
    """Yield those of the values that can be decrypted and read."""
    for payload in payloads:
        with contextlib.suppress(UnreadablePayloadError, ValueError):
            (plain,) = [payload] if codec is None else await codec.decode([payload])
            yield json.loads(plain.data)


def _nominal_key(history: WorkflowHistory) -> str:
    first = history.events[0]
    attributes = first.workflow_execution_started_event_attributes.search_attributes
    stored = attributes.indexed_fields.get(_SCHEDULED_AT)
    if stored is None:
        return firing_key(first.event_time.ToDatetime(tzinfo=UTC))
    return firing_key(datetime.fromisoformat(json.loads(stored.data)))
