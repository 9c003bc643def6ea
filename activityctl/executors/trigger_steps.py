"""The steps of a trigger: it is asked, its call is carried out, and the outcome is told.

Each step is kept before the next one begins. So an attempt after a crash asks the executor only if
it has not answered, with the same request id, and tells it the outcome until it has heard it. Who
is asked is a service behind hooks (`webhook`) or a strategy (`python`).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from activityctl.domain.chain.account import Account, subscription_object
from activityctl.domain.chain.execution_policy import execution_policy
from activityctl.domain.chain.hook_log import hook_entry
from activityctl.domain.chain.hook_outcome import SKIPPED, HookOutcome, OutcomeKind, failed
from activityctl.domain.chain.hook_payloads import request_id, trigger_object, trigger_payload
from activityctl.domain.chain.hook_signatures import SignatureProfile
from activityctl.domain.chain.policy import Refusal, judge, judge_age, windows_of
from activityctl.domain.runs.run import Run, RunState
from activityctl.domain.timing.firing import FiringRequest
from activityctl.domain.values.untrusted import printable
from activityctl.errors import TaskError, UnreachableError
from activityctl.executors.executor_signatures import (
    ExecutorSignatures,
    HookParams,
    SignatureRefusedError,
)
from activityctl.executors.relayed_body import RelayedBody
from activityctl.executors.relays.terms import NoRelay, relay_terms, service_terms
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import (
    HookEnd,
    HookLedger,
    HookOwner,
    HookRow,
    Relay,
    RelayRequest,
    RunStore,
    SpendLedger,
    TaskCall,
)

if TYPE_CHECKING:  # it loads the libraries of signatures
    from activityctl.domain.chain.executable import Executable
    from activityctl.domain.chain.hook_response import ExecutableTask, ExpectedResponse

_SECONDS_TO_TELL: Final = 35.0
"""What is left of an attempt to tell the executor, after a call was carried out; at most half."""


_RELAYING_OFF: Final = (
    "the executor wants a call, which was not sent, because this run is a replay; "
    "replay it with --relay to send it"
)


@frozen_dataclass
class AskedExecutor:
    """Whom a task asks: the names under which the request and the signatures have it."""

    address: str
    registry_id: str


@frozen_dataclass
class Exchange:
    """One attempt: what is known of the trigger."""

    body: RelayedBody
    call: TaskCall
    row: HookRow
    account: Account
    deadline: float
    may_relay: bool = True
    """False in a replay that nobody has told to send calls."""

    @property
    def seconds_left(self) -> float:
        """Return how long the attempt may go on."""
        return max(self.deadline - time.monotonic(), 0.1)


@frozen_dataclass
class Answered:
    """What the executor has answered, and how it is to be read."""

    content: bytes
    headers: Mapping[str, str]
    expected: "ExpectedResponse"


class Party(Protocol):
    """Asks an executor, and tells it what became of its call."""

    async def ask(self, exchange: Exchange) -> Answered:
        """Return the answer to the trigger. Raises TaskError if there is none."""
        ...

    async def tell(self, exchange: Exchange) -> tuple[str | None, str | None]:
        """Tell the outcome; return what was sent, and what came back, as they are kept."""
        ...


class TriggerSteps:
    """Takes the steps that are left of a trigger."""

    def __init__(  # its ports
        self,
        runs: RunStore,
        ledger: HookLedger,
        spends: SpendLedger,
        signatures: ExecutorSignatures,
        *,
        relay: Relay | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._runs = runs
        self.ledger = ledger
        self._spends = spends
        self._signatures = signatures
        self._relay = relay or NoRelay()
        self.clock = clock

    async def take(
        self, body: RelayedBody, call: TaskCall, asked: AskedExecutor, party: Party
    ) -> HookRow:
        """Return the trigger when it has ended. Raises TaskError for what may be tried again."""
        deadline = time.monotonic() + call.timeout_seconds
        try:
            exchange = await self._begin(body, call, asked, deadline)
            if exchange.row.response is None:
                exchange = await self._trigger(exchange, party)
            if exchange.row.outcome is None:
                exchange = await self._carry_out(exchange)
            if exchange.row.closed_at is None:
                await self._end(exchange, party)
        except UnreachableError as error:
            raise TaskError(error.message, code="unreachable") from error
        return exchange.row

    async def _begin(
        self, body: RelayedBody, call: TaskCall, asked: AskedExecutor, deadline: float
    ) -> Exchange:
        state = await self._runs.load(call.run_id)
        owner = None if state is None else await self.ledger.owner(state.run.subscription_id)
        if state is None or owner is None:
            message = f"run {call.run_id} does not exist any more"
            raise TaskError(message, code="run_gone", retryable=False)
        run, account = state.run, _account(state, owner)
        key = request_id(call.idempotency_key, run.due_at)
        row = HookRow(
            call.idempotency_key,
            run.subscription_id,
            run.id,
            key,
            _payload(asked, state, owner, account, key),
            self.clock(),
        )
        may_relay = body.relay is None or await self._may_relay(run)
        begun = await self.ledger.begin(row)
        return Exchange(body, call, begun, account, deadline, may_relay)

    async def _may_relay(self, run: Run) -> bool:
        """Return whether calls are sent: in a replay only if whoever asked for it said so."""
        if run.replay_of is None:
            return True
        firing = FiringRequest(run.subscription_id, run.trigger, run.firing_key, run.due_at)
        facts = await self._runs.admission_input(firing.ref)
        return facts is None or facts.replayed is None or facts.replayed.options.relays

    async def _trigger(self, exchange: Exchange, party: Party) -> Exchange:
        from activityctl.domain.chain.hook_response import BadResponseError, read_response

        answer = await party.ask(exchange)
        outcome: HookOutcome | None
        try:
            task = read_response(answer.content, answer.headers, answer.expected)
            outcome = SKIPPED if task is None else None
        except BadResponseError as error:
            outcome = failed(error.error, exchange.call.mask.text(printable(str(error))))
        text = kept(answer.content, exchange)
        row = await self.ledger.answered(exchange.row.key, text, outcome, self.clock())
        return replace(exchange, row=row)

    async def _carry_out(self, exchange: Exchange) -> Exchange:
        from activityctl.domain.chain.hook_response import read_again

        row = exchange.row
        task = read_again((row.response or "").encode())
        outcome = await self._relayed(exchange, task)
        return replace(exchange, row=await self.ledger.decided(row.key, outcome))

    async def _relayed(self, exchange: Exchange, task: "ExecutableTask") -> HookOutcome:
        """Return what became of a call; nothing is sent unless its executor has signed it."""
        row, params = exchange.row, exchange.row.payload["params"]
        account = (params["chainID"], params["subAccountAddress"], params["executorAddress"])
        where = HookParams(row.key, *account)
        signature = task.executor_signature
        if not await self._relay.has_begun(row.key):
            if not exchange.may_relay:
                raise TaskError(_RELAYING_OFF, code="relaying_off", retryable=False)
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

    async def _refusal(self, exchange: Exchange, executable: "Executable") -> Refusal | None:
        """Return why the policy does not allow the call; the signer decides once more."""
        policy = execution_policy(exchange.body.policy, exchange.account)
        if policy is None:
            return judge(None, executable, {})
        now, row = self.clock(), exchange.row
        windows = windows_of(policy, executable)
        spent = await self._spends.spent(row.subscription_id, windows, now, without=row.request_id)
        too_old = row.answered_at and judge_age(policy, row.answered_at, now)
        return too_old or judge(policy, executable, spent)

    async def _end(self, exchange: Exchange, party: Party) -> None:
        """Tell the executor what became of its call, and keep what it says to that."""
        row = exchange.row
        sent, heard = await party.tell(exchange)
        at = self.clock()
        assert row.outcome is not None  # noqa: S101 - decided before
        entry = hook_entry(
            subscription_id=row.subscription_id,
            run_id=exchange.call.run_id,
            task=exchange.call.name,
            request=row.sent,
            response=row.response,
            executed_response=heard,
            outcome=row.outcome,
            at=at,
        )
        await self.ledger.close(row.key, HookEnd(sent, heard, entry, at))


def call_output(row: HookRow) -> dict[str, Any]:
    """Return what later tasks read of a trigger that has ended; TaskError if its call failed."""
    outcome = row.outcome
    assert outcome is not None  # noqa: S101 - the steps before have decided it
    output = {
        "requestID": row.request_id,
        "skip": outcome.kind is OutcomeKind.SKIPPED,
        "outcome": outcome.kind.value,
        "transactionHash": outcome.transaction_hash,
    }
    if outcome.kind is OutcomeKind.FAILED:
        raise TaskError(outcome.message, code=outcome.error_type, retryable=False, output=output)
    return output


def kept(content: bytes, exchange: Exchange) -> str:
    """Return the text of an answer, exactly, if it is UTF-8; without our keys, if it has one."""
    return exchange.call.mask.text(content.decode("utf-8", "replace"))


def expected_response(
    row: HookRow, keys: Sequence[str] | None, profile: SignatureProfile, now: datetime
) -> "ExpectedResponse":
    """Return what the answer must fit; `keys` are None if it is not signed."""
    from activityctl.domain.chain.hook_response import ExpectedResponse

    params = row.payload["params"]
    return ExpectedResponse(
        row.request_id,
        params["subAccountAddress"],
        params["executorAddress"],
        keys,
        profile,
        int(now.timestamp()),
    )


def _account(state: RunState, owner: HookOwner) -> Account:
    if owner.account is None:
        message = (
            f"subscription {state.run.subscription} has no account: add account with chainId and "
            "subAccountAddress to it"
        )
        raise TaskError(message, code="account_missing", retryable=False)
    return Account.model_validate(dict(owner.account))


def _payload(
    asked: AskedExecutor, state: RunState, owner: HookOwner, account: Account, key: str
) -> dict[str, Any]:
    run = state.run
    subscription = subscription_object(
        account,
        key=run.subscription_id,
        registry_id=asked.registry_id,
        created_at=owner.created_at,
        is_cancelled=owner.is_deleted,
        params=run.params,
    )
    kinds = {trigger.name: trigger.kind for trigger in state.spec.triggers}
    event = run.events[-1] if run.events else None
    trigger = trigger_object(kinds.get(run.trigger), run.due_at, event)
    return trigger_payload(key, owner.context, subscription, asked.address, trigger)
