"""The `webhook` task: triggers an executor behind hooks and carries out what it answers.

Each step is kept before the next one begins. So an attempt after a crash asks the executor only if
it has not answered, with the same request id, and tells it the outcome until it has heard it.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import BaseModel

from activityctl.domain.chain.account import Account, subscription_object
from activityctl.domain.chain.execution_policy import execution_policy
from activityctl.domain.chain.hook_log import hook_entry
from activityctl.domain.chain.hook_outcome import (
    SKIPPED,
    HookOutcome,
    OutcomeKind,
    failed,
)
from activityctl.domain.chain.hook_payloads import (
    EXECUTED_PATH,
    TRIGGER_PATH,
    executed_payload,
    payload_text,
    request_id,
    trigger_object,
    trigger_payload,
)
from activityctl.domain.chain.hook_signatures import hmac_hex, webhook_headers
from activityctl.domain.chain.keys import KeyKind
from activityctl.domain.chain.policy import Refusal, judge, judge_age, windows_of
from activityctl.domain.runs.run import RunState
from activityctl.domain.values.untrusted import printable
from activityctl.errors import (
    ActivityctlError,
    NotFoundError,
    TaskError,
    UnreachableError,
)
from activityctl.executors.executor_signatures import (
    ExecutorSignatures,
    HookParams,
    SignatureRefusedError,
)
from activityctl.executors.relays.terms import NoRelay, relay_terms, service_terms
from activityctl.executors.webhook_body import WebhookBody
from activityctl.ports import (
    ExecutorOutcome,
    HookAnswer,
    HookEnd,
    HookLedger,
    HookOwner,
    HookRow,
    HookSender,
    KeyReader,
    Relay,
    RelayRequest,
    RunStore,
    SpendLedger,
    TaskCall,
)

if TYPE_CHECKING:  # it loads the libraries of signatures
    from activityctl.domain.chain.executable import Executable
    from activityctl.domain.chain.hook_response import ExecutableTask

_OK: Final = frozenset({200})
_HEARD: Final = frozenset({200, 404})
_REFUSALS: Final = frozenset({400, 401, 403})
"""Statuses of a service that may know only the former key; it is asked again with that one."""
_NO_CONTENT: Final = 404
_SECONDS_TO_TELL: Final = 35.0
"""What is left of an attempt to tell the executor, after a call was carried out; at most half."""


@dataclass(frozen=True, slots=True)
class _Exchange:
    """One attempt: what is known of the trigger, and who signs."""

    body: WebhookBody
    call: TaskCall
    keys: tuple[str, ...]
    """The valid HMAC keys, the current one first."""
    row: HookRow
    account: Account
    deadline: float

    @property
    def seconds_left(self) -> float:
        return max(self.deadline - time.monotonic(), 0.1)


class WebhookExecutor:
    """Output: `requestID`, `skip`, `outcome`, and the hash of a transaction if there is one."""

    kind: ClassVar[str] = "webhook"
    body: ClassVar[type[BaseModel]] = WebhookBody

    def __init__(  # its ports
        self,
        client: HookSender,
        runs: RunStore,
        ledger: HookLedger,
        keys: KeyReader,
        spends: SpendLedger,
        signatures: ExecutorSignatures,
        *,
        relay: Relay | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._runs = runs
        self._ledger = ledger
        self._keys = keys
        self._spends = spends
        self._signatures = signatures
        self._relay = relay or NoRelay()
        self._clock = clock

    async def execute(self, body: WebhookBody, call: TaskCall) -> ExecutorOutcome:
        """Take the steps that are left. Raises TaskError for a failure, with a stable code."""
        deadline = time.monotonic() + call.timeout_seconds
        try:
            exchange = await self._begin(body, call, deadline)
            if exchange.row.response is None:
                exchange = await self._trigger(exchange)
            if exchange.row.outcome is None:
                exchange = await self._carry_out(exchange)
            if exchange.row.closed_at is None:
                await self._end(exchange)
        except UnreachableError as error:
            raise TaskError(error.message, code="unreachable") from error
        return _result(exchange.row)

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def _begin(self, body: WebhookBody, call: TaskCall, deadline: float) -> _Exchange:
        state = await self._runs.load(call.run_id)
        owner = None if state is None else await self._ledger.owner(state.run.subscription_id)
        if state is None or owner is None:
            message = f"run {call.run_id} does not exist any more"
            raise TaskError(message, code="run_gone", retryable=False)
        keys = await self._valid_keys(body.hmac_key, call)
        run, account = state.run, _account(state, owner)
        key = request_id(call.idempotency_key, run.due_at)
        row = HookRow(
            call.idempotency_key,
            run.subscription_id,
            run.id,
            key,
            _payload(body, state, owner, account, key),
            self._clock(),
        )
        return _Exchange(body, call, keys, await self._ledger.begin(row), account, deadline)

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
        return tuple(version.secret for version in held.valid(self._clock()))

    async def _trigger(self, exchange: _Exchange) -> _Exchange:
        from activityctl.domain.chain.hook_response import (
            BadResponseError,
            ExpectedResponse,
            read_response,
        )

        answer = await self._post(exchange, TRIGGER_PATH, exchange.row.payload, _OK)
        body = exchange.body
        expected = ExpectedResponse(
            exchange.row.request_id,
            exchange.row.payload["params"]["subAccountAddress"],
            exchange.row.payload["params"]["executorAddress"],
            exchange.keys if body.verify_payload else None,
            body.signatures,
            int(self._clock().timestamp()),
        )
        outcome: HookOutcome | None
        try:
            task = read_response(answer.content, answer.headers, expected)
            outcome = SKIPPED if task is None else None
        except BadResponseError as error:
            outcome = failed(error.error, exchange.call.mask.text(printable(str(error))))
        text = _kept(answer, exchange)
        row = await self._ledger.answered(exchange.row.key, text, outcome, self._clock())
        return replace(exchange, row=row)

    async def _carry_out(self, exchange: _Exchange) -> _Exchange:
        from activityctl.domain.chain.hook_response import read_again

        row = exchange.row
        task = read_again((row.response or "").encode())
        outcome = await self._relayed(exchange, task)
        return replace(exchange, row=await self._ledger.decided(row.key, outcome))

    async def _relayed(self, exchange: _Exchange, task: "ExecutableTask") -> HookOutcome:
        """Return what became of a call; nothing is sent unless its executor has signed it."""
        row, params = exchange.row, exchange.row.payload["params"]
        account = (params["chainID"], params["subAccountAddress"], params["executorAddress"])
        where = HookParams(row.key, *account)
        signature = task.executor_signature
        if not await self._relay.has_begun(row.key):
            try:
                checked = self._signatures.checked(exchange.body, where, task)
                signature = await checked
            except SignatureRefusedError as error:
                return failed(error.error, exchange.call.mask.text(printable(str(error))))
            refusal = await self._refusal(exchange, task.executable)
            if refusal is None and (relay := exchange.body.relay) and relay.service:
                refusal = await self._signatures.counted(row.key)
            if refusal is not None:
                return refusal.outcome()
        request = RelayRequest(
            row.request_id,
            row.subscription_id,
            *account,
            task.executable,
            signature,
            row.key,
            max(exchange.seconds_left - _SECONDS_TO_TELL, exchange.seconds_left / 2),
            relay_terms(exchange.body, exchange.account),
            await service_terms(exchange.body, exchange.call),
            exchange.call.log,
        )
        return await self._relay.execute(request)

    async def _refusal(self, exchange: _Exchange, executable: "Executable") -> Refusal | None:
        """Return why the policy does not allow the call; the signer decides once more."""
        policy = execution_policy(exchange.body.policy, exchange.account)
        if policy is None:
            return judge(None, executable, {})
        now, row = self._clock(), exchange.row
        windows = windows_of(policy, executable)
        spent = await self._spends.spent(row.subscription_id, windows, now, without=row.request_id)
        too_old = row.answered_at and judge_age(policy, row.answered_at, now)
        return too_old or judge(policy, executable, spent)

    async def _end(self, exchange: _Exchange) -> None:
        """Tell the executor what became of its call, and keep what it says to that."""
        row = exchange.row
        sent, heard = None, None
        if row.outcome is not None and row.outcome.kind is not OutcomeKind.SKIPPED:
            payload = executed_payload(row.request_id, row.outcome)
            answer = await self._post(exchange, EXECUTED_PATH, payload, _HEARD)
            sent = payload_text(payload, _signature(exchange, exchange.keys[0], row.request_id))
            heard = None if answer.status == _NO_CONTENT else _kept(answer, exchange)
        at = self._clock()
        assert row.outcome is not None  # noqa: S101 - decided before
        entry = hook_entry(
            subscription_id=row.subscription_id,
            run_id=exchange.call.run_id,
            task=exchange.call.name,
            request=_sent(row),
            response=row.response,
            executed_response=heard,
            outcome=row.outcome,
            at=at,
        )
        await self._ledger.close(row.key, HookEnd(sent, heard, entry, at))

    async def _post(
        self,
        exchange: _Exchange,
        path: str,
        payload: Mapping[str, Any],
        accepted: frozenset[int],
    ) -> HookAnswer:
        """Send the request, signed with the current key, and with the former if that is refused.

        A service that knows only one key is so understood at each moment of a rotation.
        """
        row, call = exchange.row, exchange.call
        for number, key in enumerate(exchange.keys, start=1):
            text = payload_text(payload, _signature(exchange, key, row.request_id))
            if path == TRIGGER_PATH:
                await self._ledger.sending(row.key, text)
            headers = {
                "Idempotency-Key": row.request_id,
                "X-Activityctl-Run": call.run_id,
                "X-Activityctl-Attempt": str(call.attempt),
            }
            if exchange.body.signatures.has_headers:
                seconds = int(self._clock().timestamp())
                headers |= webhook_headers(exchange.keys, row.request_id, seconds, text.encode())
            try:
                return await self._client.post(
                    exchange.body.base_url + path,
                    text,
                    headers,
                    accepted=accepted,
                    seconds=exchange.seconds_left,
                    mask=call.mask,
                )
            except TaskError as error:
                if error.status not in _REFUSALS or number == len(exchange.keys):
                    raise
        raise AssertionError  # there is always a current key


def _signature(exchange: _Exchange, key: str, text: str) -> str:
    return hmac_hex(key, text) if exchange.body.signatures.has_field else ""


def _account(state: RunState, owner: HookOwner) -> Account:
    if owner.account is None:
        message = (
            f"subscription {state.run.subscription} has no account: add account with chainId and "
            "subAccountAddress to it"
        )
        raise TaskError(message, code="account_missing", retryable=False)
    return Account.model_validate(dict(owner.account))


def _payload(
    body: WebhookBody, state: RunState, owner: HookOwner, account: Account, key: str
) -> dict[str, Any]:
    run = state.run
    subscription = subscription_object(
        account,
        key=run.subscription_id,
        registry_id=body.registry_id,
        created_at=owner.created_at,
        is_cancelled=owner.is_deleted,
        params=run.params,
    )
    kinds = {trigger.name: trigger.kind for trigger in state.spec.triggers}
    event = run.events[-1] if run.events else None
    trigger = trigger_object(kinds.get(run.trigger), run.due_at, event)
    return trigger_payload(key, owner.context, subscription, body.executor_address, trigger)


def _sent(row: HookRow) -> Mapping[str, Any]:
    """Return the request as it was sent last."""
    sent: Mapping[str, Any] = row.payload if row.request is None else json.loads(row.request)
    return sent


def _kept(answer: HookAnswer, exchange: _Exchange) -> str:
    """Return the text of the body, exactly, if it is UTF-8; without our keys, if it repeats one."""
    return exchange.call.mask.text(answer.content.decode("utf-8", "replace"))


def _result(row: HookRow) -> ExecutorOutcome:
    outcome = row.outcome
    assert outcome is not None  # noqa: S101 - the steps before have decided it
    output = {
        "requestID": row.request_id,
        "skip": outcome.kind is OutcomeKind.SKIPPED,
        "outcome": outcome.kind.value,
        "transactionHash": outcome.transaction_hash,
    }
    match outcome.kind:
        case OutcomeKind.SKIPPED:
            return ExecutorOutcome(output, skipped="the executor has skipped this trigger")
        case OutcomeKind.EXECUTED:
            return ExecutorOutcome(output)
        case OutcomeKind.FAILED:
            raise TaskError(
                outcome.message, code=outcome.error_type, retryable=False, output=output
            )
