"""Carries out executables by a relay service: hands the call over and asks how it goes."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from activityctl.domain.chain.hook_outcome import HookError, HookOutcome, failed
from activityctl.domain.chain.relaying import ServiceTerms
from activityctl.domain.chain.service_status import TaskAnswer, read_task, read_task_id
from activityctl.domain.values.masking import Mask
from activityctl.errors import TaskError
from activityctl.ports import HookSender, RelayLedger, RelayRequest, RelayTask

_ACCEPTED: Final = frozenset({200, 201, 202})
_LEAST_SECONDS: Final = 10.0
"""How long a request may take at least, also at the end of an attempt."""


class ServiceRelay:
    """Hands over one call at most; the ledger has the id of its task."""

    def __init__(
        self,
        client: HookSender,
        ledger: RelayLedger,
        clock: Callable[[], datetime],
        poll_seconds: float,
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._clock = clock
        self._poll_seconds = poll_seconds

    async def execute(self, request: RelayRequest, service: ServiceTerms) -> HookOutcome:
        """Return what became of the call; go on with the task that was begun before, if any."""
        deadline = time.monotonic() + request.seconds
        task = await self._ledger.task(request.key)
        if task is None or not task.task_id:
            try:
                task = await self._hand_over(request, service)
            except TaskError as error:
                if error.may_retry:
                    raise
                return failed(HookError.RELAY_FAILED, error.message)
        while True:
            answer = await self._ask(request, service, task)
            if answer.has_ended:
                await self._ledger.keep_task(replace(task, response=answer.response))
                return answer.outcome()
            if time.monotonic() + self._poll_seconds > deadline:
                raise TaskError(
                    f"task {task.task_id} of the relay service is {answer.status or 'open'}",
                    code="relay_pending",
                )
            await asyncio.sleep(self._poll_seconds)

    async def _hand_over(self, request: RelayRequest, service: ServiceTerms) -> RelayTask:
        """Post the call. After a lost answer it is posted again: its signature is good for once."""
        await self._ledger.keep_task(RelayTask(request.key, service.url, "", self._clock()))
        task = {
            "subaccount": request.account,
            "executor": request.executor,
            "executorSignature": request.executor_signature,
            "executable": request.executable.as_json(),
        }
        answer = await self._client.post(
            f"{service.url}/v1/automations/tasks/execute/{request.chain_id}",
            json.dumps({"task": task}, separators=(",", ":")),
            {**_headers(service), "Idempotency-Key": request.request_id},
            accepted=_ACCEPTED,
            seconds=max(request.seconds, _LEAST_SECONDS),
            mask=_mask(service),
        )
        try:
            task_id = read_task_id(answer.content)
        except ValueError as error:
            raise TaskError(f"the relay service: {error}", code="bad_service") from None
        kept = RelayTask(request.key, service.url, task_id, self._clock())
        await self._ledger.keep_task(kept)
        fields = {"taskId": task_id, "chainId": request.chain_id}
        await request.tell("info", f"the relay service has taken the call as {task_id}", fields)
        return kept

    async def _ask(
        self, request: RelayRequest, service: ServiceTerms, task: RelayTask
    ) -> TaskAnswer:
        answer = await self._client.get(
            f"{task.url}/v1/relayer/tasks/status/{task.task_id}",
            _headers(service),
            accepted=_ACCEPTED,
            seconds=max(request.seconds, _LEAST_SECONDS),
            mask=_mask(service),
        )
        try:
            return read_task(answer.content)
        except ValueError as error:
            raise TaskError(f"the relay service: {error}", code="bad_service") from None


def _headers(service: ServiceTerms) -> Mapping[str, Any]:
    return {} if service.api_key is None else {"x-api-key": service.api_key}


def _mask(service: ServiceTerms) -> Mask:
    mask = Mask()
    if service.api_key is not None:
        mask.add(service.api_key)
    return mask
