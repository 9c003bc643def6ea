"""The way of one call to its block: sends what is signed, watches it, replaces it if need be."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, assert_never

from activityctl.domain.chain.broadcast import BroadcastAnswer, meaning_of
from activityctl.domain.chain.fees import Fees, higher_fees
from activityctl.domain.chain.hook_outcome import HookError, HookOutcome, OutcomeKind
from activityctl.domain.chain.relay_response import relay_response
from activityctl.domain.chain.relaying import (
    ChainView,
    Ended,
    Included,
    RelayState,
    RelayTerms,
    RelayTransaction,
    Replace,
    Resend,
    TakenBack,
    Wait,
    next_step,
)
from activityctl.domain.chain.revert_reason import revert_reason
from activityctl.domain.runs.signing import SigningRefusedError
from activityctl.domain.values.log import Level
from activityctl.errors import ActivityctlError, NotFoundError
from activityctl.executors.relays import node_calls
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import (
    CallRefusedError,
    ChainNodes,
    Chains,
    RelayLedger,
    RelayRequest,
    Signer,
    TransactionDraft,
)

_MOST_BUMPS: Final = 5
"""How often the fees are raised in a row, while a node says that they are too low."""


class NotYetError(ActivityctlError):
    """Something is in the way now, and may be gone at the next look."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@frozen_dataclass
class RelayPorts:
    """What a relayer works with."""

    chains: Chains
    signer: Signer
    ledger: RelayLedger


class Passage:
    """One trigger and its transactions, during one attempt."""

    def __init__(
        self,
        request: RelayRequest,
        terms: RelayTerms,
        nodes: ChainNodes,
        ports: RelayPorts,
        clock: Callable[[], datetime],
    ) -> None:
        self.request = request
        self.terms = terms
        self.nodes = nodes
        self.ports = ports
        self.clock = clock
        self.versions: Sequence[RelayTransaction] = ()
        """The transactions as they were known last."""

    async def advance(self, versions: Sequence[RelayTransaction]) -> HookOutcome | None:
        """Look at the chain and take the next step; return the outcome if it was the last."""
        self.versions = versions
        terms = self.terms
        view = await self.nodes.use(lambda node: node_calls.look(node, versions, terms))
        step = next_step(versions, view, terms, self.clock())
        match step:
            case Wait():
                await self._push_earlier(versions[-1], view)
            case Resend():
                await self.send(versions)
            case Replace():
                await self._replace(versions)
            case TakenBack(transaction):
                await self._move(transaction, RelayState.SENT)
                block = transaction.block_number
                await self._tell("warning", transaction, f"lost its block {block}: pending again")
                await self.send(versions)
            case Included(transaction, receipt):
                place = (receipt.block_number, receipt.block_hash)
                if (transaction.block_number, transaction.block_hash) != place:
                    await self._move(transaction, RelayState.INCLUDED, place)
                    await self._tell("info", transaction, f"is in block {receipt.block_number}")
            case Ended():
                return await self._end(versions, step)
            case other:
                assert_never(other)
        return None

    async def send(self, versions: Sequence[RelayTransaction]) -> None:
        """Send the newest transaction as it is stored; raise its fees if nodes say so."""
        for _ in range(_MOST_BUMPS):
            self.versions, newest = versions, versions[-1]
            answer = await self._broadcast(newest)
            if answer is not BroadcastAnswer.UNDERPRICED:
                return
            replacement = await self._higher(versions)
            if replacement is None:
                break
            versions = [*versions, replacement]
        raise NotYetError("fee_too_low", f"the fees of {versions[-1].hash} are too low for now")

    async def _broadcast(self, transaction: RelayTransaction) -> BroadcastAnswer | None:
        """Send the bytes; return what the node says if it does not take them."""
        raw = transaction.raw
        answer = None
        try:
            await self.nodes.use(lambda node: node.call("eth_sendRawTransaction", raw))
        except CallRefusedError as error:
            answer = meaning_of(error.message)
            match answer:
                case BroadcastAnswer.KNOWN:
                    pass
                case BroadcastAnswer.NONCE_USED | BroadcastAnswer.UNDERPRICED:
                    return answer
                case BroadcastAnswer.NO_FUNDS:
                    message = f"{_shown(transaction)} cannot be paid by {transaction.sender}"
                    raise NotYetError("relayer_funds", f"{message}: {error.message}") from None
                case BroadcastAnswer.REFUSED:
                    message = f"no node takes {_shown(transaction)}: {error.message}"
                    raise NotYetError("relay_refused", message) from None
                case other:
                    assert_never(other)
        if transaction.state is RelayState.SIGNED:
            await self._move(transaction, RelayState.SENT)
            await self._tell("info", transaction, f"is sent, with nonce {transaction.nonce}")
        return answer

    async def _replace(self, versions: Sequence[RelayTransaction]) -> None:
        replacement = await self._higher(versions)
        if replacement is not None:
            await self.send([*versions, replacement])

    async def _higher(self, versions: Sequence[RelayTransaction]) -> RelayTransaction | None:
        """Sign the same call with the same nonce and higher fees; None if the cap is reached."""
        newest = versions[-1]
        market = await self.nodes.use(node_calls.read_market)
        former = Fees(newest.max_fee_wei, newest.priority_fee_wei)
        fees = None if market is None else higher_fees(former, market, self.terms.max_fee_wei)
        if fees is None:
            return None
        draft = TransactionDraft(
            newest.hook_key,
            newest.number + 1,
            newest.relayer,
            newest.chain_id,
            newest.to,
            bytes.fromhex(newest.data[2:]),
            newest.gas,
            fees.max_fee_wei,
            fees.priority_fee_wei,
            newest.nonce,
        )
        try:
            signed = await self.ports.signer.sign_transaction(draft)
        except SigningRefusedError as error:
            message = f"{_shown(newest)} waits for a block and cannot be replaced: {error.message}"
            raise NotYetError("signing_refused", message) from None
        except NotFoundError as error:
            message = f"{_shown(newest)} waits for a block and cannot be replaced: {error.message}"
            raise NotYetError("key_missing", message) from None
        replacement = signed.transaction
        what = f"waits too long; {replacement.hash} pays {fees.max_fee_wei} wei for each gas"
        await self._tell("warning", newest, what)
        return replacement

    async def _push_earlier(self, newest: RelayTransaction, view: ChainView) -> None:
        """Help the first transaction that this one waits for; its own run may have ended."""
        if view.nonce >= newest.nonce:
            return
        ledger = self.ports.ledger
        earlier = await ledger.open_below(newest.chain_id, newest.sender, newest.nonce)
        first = next((each for each in earlier if each.nonce >= view.nonce), None)
        if first is None or first.nonce > view.nonce:
            raise NotYetError(
                "nonce_gap",
                f"{_shown(newest)} has nonce {newest.nonce}, but the chain wants {view.nonce} of "
                f"{newest.sender} first, and the ledger has no open transaction with it",
            )
        versions = await ledger.transactions(first.hook_key)
        known = await self.nodes.use(lambda node: node_calls.knows(node, first.hash))
        age = self.clock() - (first.sent_at or first.signed_at)
        if known and age >= 2 * self.terms.replace_after:
            await self._replace(versions)
        elif not known:
            await self._broadcast(first)

    async def _end(self, versions: Sequence[RelayTransaction], step: Ended) -> HookOutcome:
        last, receipt = step.transaction, step.receipt
        block = None if receipt is None else (receipt.block_number, receipt.block_hash)
        await self._move(last, step.state, block)
        for version in versions:
            if version.number != last.number:
                await self._move(version, RelayState.REPLACED)
        error_type, error = "", ""
        if step.state is RelayState.LOST:
            error_type = HookError.RELAY_FAILED.value
            error = f"another transaction has used nonce {last.nonce} of {last.sender}"
        elif step.state is RelayState.REVERTED and receipt is not None:
            data, message = await self.nodes.use(
                lambda node: node_calls.revert_data(node, last, receipt)
            )
            error_type = HookError.REVERTED.value
            reason = revert_reason(data, message)
            error = f"the contract has refused transaction {last.hash}: {reason}"
        request = self.request
        response = relay_response(
            request.request_id, versions[0], last, step.state, error, request.seconds
        )
        has_failed = bool(error_type)
        return HookOutcome(
            OutcomeKind.FAILED if has_failed else OutcomeKind.EXECUTED,
            error_type,
            error,
            response,
            None if step.state is RelayState.LOST else last.hash,
        )

    async def _move(
        self,
        transaction: RelayTransaction,
        state: RelayState,
        block: tuple[int, str] | None = None,
    ) -> None:
        await self.ports.ledger.move(
            transaction.hook_key, transaction.number, state, self.clock(), block
        )

    async def _tell(self, level: Level, transaction: RelayTransaction, what: str) -> None:
        """Write a line into the log of the run."""
        fields = {
            "transactionHash": transaction.hash,
            "nonce": transaction.nonce,
            "relayer": transaction.sender,
            "chainId": transaction.chain_id,
        }
        await self.request.tell(level, f"{_shown(transaction)} {what}", fields)


def _shown(transaction: RelayTransaction) -> str:
    return f"transaction {transaction.hash} of {transaction.relayer}"
