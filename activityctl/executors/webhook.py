"""The `webhook` task: triggers an executor behind hooks and carries out what it answers."""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from pydantic import BaseModel

from activityctl.domain.chain.hook_outcome import OutcomeKind
from activityctl.domain.chain.hook_payloads import (
    EXECUTED_PATH,
    TRIGGER_PATH,
    executed_payload,
    payload_text,
)
from activityctl.domain.chain.hook_signatures import hmac_hex, webhook_headers
from activityctl.domain.chain.keys import KeyKind
from activityctl.errors import ActivityctlError, NotFoundError, TaskError, UnreachableError
from activityctl.executors.trigger_steps import (
    Answered,
    AskedExecutor,
    Exchange,
    TriggerSteps,
    call_output,
    expected_response,
    kept,
)
from activityctl.executors.webhook_body import WebhookBody
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import (
    ExecutorOutcome,
    HookAnswer,
    HookSender,
    KeyReader,
    TaskCall,
)

_OK: Final = frozenset({200})
_HEARD: Final = frozenset({200, 404})
_REFUSALS: Final = frozenset({400, 401, 403})
"""Statuses of a service that may know only the former key; it is asked again with that one."""
_NO_CONTENT: Final = 404


class WebhookExecutor:
    """Output: `requestID`, `skip`, `outcome`, and the hash of a transaction if there is one."""

    kind: ClassVar[str] = "webhook"
    body: ClassVar[type[BaseModel]] = WebhookBody

    def __init__(self, client: HookSender, keys: KeyReader, steps: TriggerSteps) -> None:
        self._client = client
        self._keys = keys
        self._steps = steps

    async def execute(self, body: WebhookBody, call: TaskCall) -> ExecutorOutcome:
        """Take the steps that are left. Raises TaskError for a failure, with a stable code."""
        keys = await self._valid_keys(body.hmac_key, call)
        service = _Service(body, keys, self._client, self._steps)
        asked = AskedExecutor(body.executor_address, body.registry_id)
        row = await self._steps.take(body, call, asked, service)
        outcome = row.outcome
        assert outcome is not None  # noqa: S101 - the steps have decided it
        if outcome.kind is OutcomeKind.SKIPPED:
            output = call_output(row)
            return ExecutorOutcome(output, skipped="the executor has skipped this trigger")
        return ExecutorOutcome(call_output(row))

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def _valid_keys(self, name: str, call: TaskCall) -> tuple[str, ...]:
        try:
            held = await self._keys.read(name, KeyKind.HMAC)
        except NotFoundError as error:
            message = (
                f"key {name} is missing on this worker; make it there: activityctl keys create "
                f"{name} --kind hmac"
            )
            raise TaskError(message, code="key_missing", retryable=False) from error
        except UnreachableError as error:
            hint = f"; {error.hint}" if error.hint else ""
            raise TaskError(f"{error.message}{hint}", code="key_unavailable") from error
        except ActivityctlError as error:
            raise TaskError(error.message, code="key_unusable", retryable=False) from error
        for version in held.versions:
            call.mask.add(version.secret)
        return tuple(version.secret for version in held.valid(self._steps.clock()))


@frozen_dataclass
class _Service:
    """The executor's service, for one attempt."""

    body: WebhookBody
    keys: tuple[str, ...]
    """The valid HMAC keys, the current one first."""
    client: HookSender
    steps: TriggerSteps

    async def ask(self, exchange: Exchange) -> Answered:
        """Post the trigger."""
        row, body = exchange.row, self.body
        answer = await self._post(exchange, TRIGGER_PATH, row.payload, _OK)
        keys = self.keys if body.verify_payload else None
        expected = expected_response(row, keys, body.signatures, self.steps.clock())
        return Answered(answer.content, answer.headers, expected)

    async def tell(self, exchange: Exchange) -> tuple[str | None, str | None]:
        """Post the outcome, if there was a call."""
        row = exchange.row
        if row.outcome is None or row.outcome.kind is OutcomeKind.SKIPPED:
            return None, None
        payload = executed_payload(row.request_id, row.outcome)
        answer = await self._post(exchange, EXECUTED_PATH, payload, _HEARD)
        sent = payload_text(payload, self._signature(self.keys[0], row.request_id))
        return sent, None if answer.status == _NO_CONTENT else kept(answer.content, exchange)

    async def _post(
        self,
        exchange: Exchange,
        path: str,
        payload: Mapping[str, Any],
        accepted: frozenset[int],
    ) -> HookAnswer:
        """Send the request, signed with the current key, and with the former if that is refused.

        A service that knows only one key is so understood at each moment of a rotation.
        """
        row, call = exchange.row, exchange.call
        for number, key in enumerate(self.keys, start=1):
            text = payload_text(payload, self._signature(key, row.request_id))
            if path == TRIGGER_PATH:
                await self.steps.ledger.sending(row.key, text)
            headers = {
                "Idempotency-Key": row.request_id,
                "X-Activityctl-Run": call.run_id,
                "X-Activityctl-Attempt": str(call.attempt),
            }
            if self.body.signatures.has_headers:
                seconds = int(self.steps.clock().timestamp())
                headers |= webhook_headers(self.keys, row.request_id, seconds, text.encode())
            try:
                return await self.client.post(
                    self.body.base_url + path,
                    text,
                    headers,
                    accepted=accepted,
                    seconds=exchange.seconds_left,
                    mask=call.mask,
                )
            except TaskError as error:
                if error.status not in _REFUSALS or number == len(self.keys):
                    raise
        raise AssertionError  # there is always a current key

    def _signature(self, key: str, text: str) -> str:
        return hmac_hex(key, text) if self.body.signatures.has_field else ""
