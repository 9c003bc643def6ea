"""What a `webhook` task would do: its steps, without sending, signing or storing anything."""

import time
import uuid
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn

from activityctl.domain.chain.account import subscription_object
from activityctl.domain.chain.conformance import OK, Check
from activityctl.domain.chain.execution_policy import execution_policy
from activityctl.domain.chain.hexadecimal import checksum_address, hex_bytes
from activityctl.domain.chain.hook_outcome import HookError
from activityctl.domain.chain.hook_payloads import (
    TRIGGER_PATH,
    payload_text,
    request_id,
    trigger_object,
    trigger_payload,
)
from activityctl.domain.chain.hook_signatures import hmac_hex, webhook_headers
from activityctl.domain.chain.keys import KeyKind
from activityctl.domain.chain.policy import MOST_GAS, Policy, Refusal, windows_of
from activityctl.domain.chain.rpc_url import secret_name
from activityctl.domain.chain.simulation import (
    Simulated,
    policy_check,
    skipped_checks,
)
from activityctl.domain.manifests.subscription import (
    SubscriptionStatus,
)
from activityctl.domain.runs.signing import SigningRefusedError
from activityctl.domain.values.masking import Mask
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.untrusted import parse_storable_json, printable
from activityctl.errors import (
    ActivityctlError,
    NotFoundError,
    TaskError,
)
from activityctl.executors.executor_signatures import (
    ExecutorSignatures,
    HookParams,
    SignatureRefusedError,
)
from activityctl.executors.relays.trial import RefusedError, try_call
from activityctl.executors.simulated_task import SimulatedTask
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import (
    Chains,
    ExecutionDraft,
    HookAnswer,
    HookSender,
    SignedTransaction,
    SpendLedger,
    TransactionDraft,
)

if TYPE_CHECKING:  # it loads the libraries of signatures
    from activityctl.domain.chain.hook_response import ExecutableTask

_ANY_STATUS: Final = range(200, 600)
_QUOTED: Final = 200
_SIGNATURE: Final = "executor signature"
_TRIAL: Final = "transaction"
_STEPS: Final = ("policy", _SIGNATURE, _TRIAL)
_EMPTY: Final = frozenset({"", "0x"})
_UNKNOWN_CHAIN: Final = "chain_missing"
_OFFLINE: Final = "no chain was asked: --offline"


@frozen_dataclass
class _Sent:
    """The request of a trigger, as it would be sent."""

    url: str
    payload: Mapping[str, Any]
    signature: str
    text: str
    headers: Mapping[str, str]


class NoSigner:
    """Implements Signer: signs nothing and counts nothing."""

    async def addresses(self, names: Collection[str], kind: KeyKind) -> Mapping[str, str]:
        """Return that no key is known."""
        del names, kind
        return {}

    async def sign_execution(self, draft: ExecutionDraft) -> str:
        """Refuse."""
        del draft
        _refuse()

    async def count_call(self, hook_key: str) -> None:
        """Refuse."""
        del hook_key
        _refuse()

    async def sign_transaction(self, draft: TransactionDraft) -> SignedTransaction:
        """Refuse."""
        del draft
        _refuse()


class Simulation:
    """One trigger that is not fired."""

    def __init__(self, task: SimulatedTask, spends: SpendLedger, chains: Chains | None) -> None:
        self._task = task
        self._spends = spends
        self._chains = chains
        self._mask = Mask()
        for key in task.keys:
            self._mask.add(key)
        self._checks: list[Check] = []

    async def judged(self, response: bytes | None) -> Simulated:
        """Return what would happen after this response; None if there is none."""
        key = self._task.trigger.request_id or _request_id_of(response)
        request = self._request(key)
        if response is None:
            hint = "--ask asks the executor; --response FILE reads an answer"
            self._checks.append(Check("response", "skipped", "there is no response", hint))
            return self._result(request, None, None)
        return await self._after(request, HookAnswer(OK, {}, response), None)

    async def asked(self, sender: HookSender, seconds: float) -> Simulated:
        """Ask the executor, and return what would happen after its answer."""
        request = self._request(None)
        started = time.monotonic()
        try:
            answer = await sender.post(
                request.url,
                request.text,
                request.headers,
                accepted=_ANY_STATUS,
                seconds=seconds,
                mask=self._mask,
            )
        except TaskError as error:
            self._checks.append(Check("response", "failed", error.message))
            return self._result(request, None, None)
        took = round((time.monotonic() - started) * 1000)
        if answer.status != OK:
            said = self._mask.text(printable(_text(answer.content[:_QUOTED])))
            message = f"answered {answer.status}: {said}"
            self._checks.append(Check("response", "failed", message, None, answer.status, took))
            return self._result(request, answer.content, None)
        return await self._after(request, answer, took)

    async def _after(self, request: _Sent, answer: HookAnswer, took: int | None) -> Simulated:
        task = self._read(answer, request.payload, took)
        transaction = None if task is None else await self._judge(task, request.payload)
        return self._result(request, answer.content, transaction)

    def _result(
        self,
        request: _Sent,
        response: bytes | None,
        transaction: Mapping[str, JsonValue] | None,
    ) -> Simulated:
        done = {check.name for check in self._checks}
        left = [name for name in _STEPS if name not in done]
        checks = (*self._checks, *skipped_checks(left, "there is no call to judge"))
        shown = None if response is None else _json_of(self._mask.text(_text(response)))
        sent = {**request.payload, "signature": request.signature}
        return Simulated(request.url, sent, request.headers, shown, transaction, checks)

    def _request(self, key: str | None) -> _Sent:
        profile, keys = self._task.body.signatures, self._task.keys
        payload = self._payload(key)
        key = str(payload["requestID"])
        signature = hmac_hex(keys[0], key) if profile.has_field else ""
        text = payload_text(payload, signature)
        headers = {"Idempotency-Key": key}
        if profile.has_headers:
            moment = int(datetime.now(UTC).timestamp())
            headers |= webhook_headers(keys, key, moment, text.encode())
        url = self._task.body.base_url + TRIGGER_PATH
        return _Sent(url, payload, signature, text, headers)

    def _payload(self, key: str | None) -> dict[str, Any]:
        task, trigger = self._task, self._task.trigger
        owner = task.subscription
        subscription = subscription_object(
            task.account,
            key=owner.id,
            registry_id=task.body.registry_id,
            created_at=owner.created_at,
            is_cancelled=owner.status is SubscriptionStatus.DELETED,
            params=trigger.params,
        )
        return trigger_payload(
            key or request_id(f"simulated-{uuid.uuid4()}", trigger.due_at),
            task.context,
            subscription,
            task.body.executor_address,
            trigger_object(trigger.kind, trigger.due_at, trigger.event),
        )

    def _read(
        self, answer: HookAnswer, payload: Mapping[str, Any], took: int | None
    ) -> "ExecutableTask | None":
        """Judge the response; return what it wants to be done."""
        from activityctl.domain.chain.hook_response import (
            BadResponseError,
            ExpectedResponse,
            read_response,
        )

        body, facts = self._task.body, (None if took is None else answer.status, took)
        expected = ExpectedResponse(
            payload["requestID"],
            self._task.account.sub_account_address,
            body.executor_address,
            self._task.keys if body.verify_payload else None,
            body.signatures,
            int(datetime.now(UTC).timestamp()),
        )
        try:
            task = read_response(answer.content, answer.headers, expected)
        except BadResponseError as error:
            message = self._mask.text(printable(f"{error.error}: {error}"))
            hint = "see: activityctl guide builder-kit"
            self._checks.append(Check("response", "failed", message, hint, *facts))
            return None
        how = "is signed" if body.verify_payload else "need not be signed (verifyPayload: false)"
        does = "skips" if task is None else f"wants a call to {task.executable.to}"
        self._checks.append(Check("response", "passed", f"{how}, and {does}", None, *facts))
        return task

    async def _judge(
        self, task: "ExecutableTask", payload: Mapping[str, Any]
    ) -> Mapping[str, JsonValue] | None:
        """Judge the call as a worker and the signer would; return the transaction."""
        body, now = self._task.body, datetime.now(UTC)
        policy = execution_policy(body.policy, self._task.account)
        windows = windows_of(policy, task.executable) if policy is not None else frozenset()
        key = payload["requestID"]
        owner = self._task.subscription.id
        spent = await self._spends.spent(owner, windows, now, without=key) if windows else {}
        self._checks.append(policy_check(policy, task.executable, spent))
        if body.plugin is None:
            message = "the definition has no plugin, so nothing would be sent"
            error = f"{HookError.RELAYER_MISSING}: {message}"
            self._checks.append(Check(_SIGNATURE, "skipped", message))
            self._checks.append(Check(_TRIAL, "failed", error))
            return None
        self._checks.append(await self._signature_check(task))
        transaction = self._transaction(task)
        check, gas = await self._trial(transaction, policy)
        self._checks.append(check)
        return None if transaction is None else {**transaction, "gas": gas}

    async def _signature_check(self, task: "ExecutableTask") -> Check:
        """Return whether the executor has signed the call for its next nonce."""
        body, account = self._task.body, self._task.account
        if task.executor_signature in _EMPTY and body.autosign is not None:
            message = f"activityctl would sign with the key {body.autosign}; it does not now"
            return Check(_SIGNATURE, "skipped", message)
        if self._chains is None:
            return Check(_SIGNATURE, "skipped", _OFFLINE)
        where = HookParams("", account.chain_id, account.sub_account_address, body.executor_address)
        try:
            await ExecutorSignatures(self._chains, NoSigner()).checked(body, where, task)
        except SignatureRefusedError as error:
            message = self._mask.text(printable(f"{error.error}: {error}"))
            return Check(_SIGNATURE, "failed", message)
        except TaskError as error:
            if error.task_code == _UNKNOWN_CHAIN:
                return _unknown_chain(_SIGNATURE, account.chain_id)
            return Check(_SIGNATURE, "failed", printable(f"{error.task_code}: {error.message}"))
        return Check(_SIGNATURE, "passed", f"is of {body.executor_address}, for its next nonce")

    def _transaction(self, task: "ExecutableTask") -> dict[str, JsonValue] | None:
        """Return the call of the plugin; None if it has no signature to be made with."""
        from activityctl.domain.chain.plugin import execution_call

        try:
            if not hex_bytes(task.executor_signature):
                return None
        except ValueError:
            return None
        body, account = self._task.body, self._task.account
        data = execution_call(
            task.executable,
            account.sub_account_address,
            body.executor_address,
            task.executor_signature,
        )
        return {
            "chainId": account.chain_id,
            "from": self._task.sender,
            "to": checksum_address(str(body.plugin)),
            "data": "0x" + data.hex(),
        }

    async def _trial(
        self, transaction: Mapping[str, Any] | None, policy: Policy | None
    ) -> tuple[Check, int | None]:
        """Return what the chain would do with the transaction now, and its limit of gas."""
        if transaction is None:
            return Check(_TRIAL, "skipped", "it cannot be tried without a signature"), None
        if self._chains is None:
            return Check(_TRIAL, "skipped", _OFFLINE), None
        fields = ("from", "to", "data")
        call = {each: str(transaction[each]) for each in fields if transaction[each] is not None}
        most = MOST_GAS if policy is None else policy.max_gas
        gas = None
        try:
            nodes = await self._chains.nodes(self._task.account.chain_id)
            gas = await try_call(nodes, call, most)
        except RefusedError as refused:
            message = f"{refused.outcome.error_type}: {refused.message}"
            check = Check(_TRIAL, "failed", printable(message))
        except NotFoundError:
            check = _unknown_chain(_TRIAL, self._task.account.chain_id)
        except ActivityctlError as error:
            check = Check(_TRIAL, "failed", printable(error.message), error.hint)
        else:
            check = self._accepted(gas)
        return check, gas

    def _accepted(self, gas: int) -> Check:
        if self._task.body.relay is None:
            reason = "the chain would accept it, but the task has no relay to send it"
            return Check(_TRIAL, "failed", f"{HookError.RELAYER_MISSING}: {reason}")
        return Check(_TRIAL, "passed", f"the chain would accept it, with at most {gas:,} gas")


def _unknown_chain(name: str, chain_id: int) -> Check:
    message = f"the nodes of chain {chain_id} are not known on this machine"
    return Check(name, "skipped", message, f"activityctl secrets set {secret_name(chain_id)}")


def _request_id_of(response: bytes | None) -> str | None:
    """Return the request id that a saved response is for."""
    value = None if response is None else _json_of(_text(response))
    key = value.get("requestID") if isinstance(value, Mapping) else None
    return key if isinstance(key, str) and key else None


def _json_of(text: str) -> JsonValue:
    try:
        return parse_storable_json(text)
    except ValueError:
        return text


def _text(content: bytes) -> str:
    return content.decode("utf-8-sig", "replace")


def _refuse() -> NoReturn:
    message = "a simulation signs nothing"
    raise SigningRefusedError(Refusal(HookError.KEY_MISSING, message))
