"""What the signer signs: only what Postgres says of a trigger, and its policy allows.

A worker asks, and is not believed: what it drafts must be what follows from the definition, the
account of the subscription and the answer of the executor.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from activityctl.domain.chain.account import Account
from activityctl.domain.chain.execution_policy import execution_policy
from activityctl.domain.chain.hexadecimal import checksum_address
from activityctl.domain.chain.hook_outcome import HookError
from activityctl.domain.chain.policy import (
    Policy,
    Refusal,
    SpendWindow,
    judge,
    judge_age,
    judge_gas,
    spends_of,
    windows_of,
)
from activityctl.domain.manifests.relayed_task import RelayedTask
from activityctl.errors import ActivityctlError
from activityctl.frozen_dataclass import frozen_dataclass

if TYPE_CHECKING:  # it loads the libraries of signatures
    from activityctl.domain.chain.executable import Executable, ExecutionContext

_EMPTY = frozenset({"", "0x"})


class SigningRefusedError(ActivityctlError):
    """The signer does not sign this."""

    code = "signing_refused"

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


@frozen_dataclass
class SigningFacts:
    """What Postgres says of a trigger whose executor has answered."""

    hook_key: str
    request_id: str
    subscription_id: str
    response: str | None
    answered_at: datetime | None
    is_decided: bool
    """Whether an outcome is kept: then nothing new is signed."""
    account: Account | None
    is_deleted: bool
    """Whether the subscription is deleted."""
    frozen: RelayedTask | None
    """The task, as the revision of the run has it."""
    in_force: RelayedTask | None
    """The task, as the definition has it now."""
    signature: str | None
    """What we have signed for its executor (autosign)."""
    now: datetime
    """The time of Postgres."""


@frozen_dataclass
class ExpectedTransaction:
    """A draft of a worker, as far as it is compared."""

    number: int
    relayer: str
    chain_id: int
    to: str
    data: bytes
    gas: int
    max_fee_wei: int


@frozen_dataclass
class Permit:
    """A call that may be signed, if its windows have room for what it spends."""

    request_id: str
    subscription_id: str
    executable: "Executable"
    policy: Policy
    spends: Mapping[str, int]
    windows: frozenset[SpendWindow]
    at: datetime

    def judge(self, spent: Mapping[SpendWindow, int]) -> Refusal | None:
        """Return why the call must not be signed after these spends; None if it may be."""
        return judge(self.policy, self.executable, spent)


def permit_call(facts: SigningFacts) -> Permit:
    """Return the permit for having the call sent by somebody else; else SigningRefusedError."""
    _task(facts)
    answered, _ = _answer(facts)
    return _permit(facts, answered)


def permit_execution(
    facts: SigningFacts, key: str, executable: "Executable", context: "ExecutionContext"
) -> Permit:
    """Return the permit for signing this call for its executor; else SigningRefusedError."""
    task, account = _task(facts), _account(facts)
    if task.autosign != key:
        raise _forged(f"the definition does not let the key {key} sign")
    answered, given = _answer(facts)
    if given not in _EMPTY:
        raise _forged("the executor has signed its call itself")
    if executable != answered:
        raise _forged("the call is not the one of the executor's answer")
    wanted = (
        task.field_set,
        account.chain_id,
        _address(task.plugin),
        _address(account.sub_account_address),
        _address(task.executor),
    )
    if wanted != (
        context.field_set,
        context.chain_id,
        _address(context.plugin),
        _address(context.account),
        _address(context.executor),
    ):
        raise _forged("the signature would be for another chain, plugin, account or executor")
    return _permit(facts, answered)


def permit_transaction(facts: SigningFacts, draft: ExpectedTransaction) -> Permit:
    """Return the permit for signing this transaction; else SigningRefusedError.

    A replacement has the nonce and the data of the first one, so it spends nothing anew.
    """
    from activityctl.domain.chain.plugin import execution_call

    task, account = _task(facts), _account(facts)
    answered, given = _answer(facts)
    signature = facts.signature if given in _EMPTY else given
    if not signature:
        raise _forged("nobody has signed the call of the executor's answer")
    try:
        data = execution_call(answered, account.sub_account_address, task.executor, signature)
    except ValueError:
        raise _forged("the executor's signature is no hexadecimal text") from None
    if draft.relayer not in task.relayers:
        raise _forged(f"the definition does not let the key {draft.relayer} send")
    if draft.chain_id != account.chain_id:
        raise _forged(f"the account is on chain {account.chain_id}, not {draft.chain_id}")
    if task.plugin is None or _address(draft.to) != _address(task.plugin):
        raise _forged(f"the transaction is for {draft.to}, not for the plugin")
    if draft.data != data:
        raise _forged("the data is not the call of the executor's answer")
    if task.max_fee_wei is not None and draft.max_fee_wei > task.max_fee_wei:
        raise _forged(f"the fee {draft.max_fee_wei} is over maxFeePerGas {task.max_fee_wei}")
    permit = _permit(facts, answered, is_new=draft.number == 1)
    if (refusal := judge_gas(permit.policy, draft.gas)) is not None:
        raise SigningRefusedError(refusal)
    return permit


def _permit(facts: SigningFacts, executable: "Executable", *, is_new: bool = True) -> Permit:
    task, account = _task(facts), _account(facts)
    newer = None if facts.in_force is None else facts.in_force.policy
    policy = execution_policy(task.policy, account, in_force=[newer])
    if policy is None:
        raise SigningRefusedError(judge(None, executable, {}) or _refusal(""))
    if is_new:
        if facts.is_decided:
            raise _forged("the trigger has ended")
        if facts.is_deleted:
            raise SigningRefusedError(_refusal("the subscription is deleted"))
        if facts.answered_at is None:
            raise _forged("the executor has not answered")
        too_old = judge_age(policy, facts.answered_at, facts.now)
        if too_old is not None:
            raise SigningRefusedError(too_old)
    try:
        spends = spends_of(executable)
    except ValueError as error:
        raise SigningRefusedError(_refusal(str(error))) from None
    windows = windows_of(policy, executable)
    return Permit(
        facts.request_id,
        facts.subscription_id,
        executable,
        policy,
        spends,
        windows,
        facts.now,
    )


def _answer(facts: SigningFacts) -> tuple["Executable", str]:
    """Return the call that the executor wants, and its signature."""
    from activityctl.domain.chain.hook_response import read_again

    try:
        task = read_again((facts.response or "").encode())
    except Exception:  # noqa: BLE001  # a worker may have written anything there
        raise _forged("the answer that is kept has no call") from None
    return task.executable, task.executor_signature


def _task(facts: SigningFacts) -> RelayedTask:
    if facts.frozen is None or facts.in_force is None:
        raise _forged("the definition has no such task that makes calls")
    return facts.frozen


def _account(facts: SigningFacts) -> Account:
    if facts.account is None:
        raise _forged("the subscription has no account")
    return facts.account


def _address(text: str | None) -> str:
    try:
        return checksum_address(text)
    except ValueError:
        return ""


def _refusal(message: str) -> Refusal:
    return Refusal(HookError.POLICY_REFUSED, message)


def _forged(reason: str) -> SigningRefusedError:
    return SigningRefusedError(_refusal(f"the signer refuses: {reason}"))
