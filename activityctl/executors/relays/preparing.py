"""What happens before a transaction is signed: simulation, gas, fees, choice of a relayer."""

from collections.abc import Sequence

from activityctl.domain.chain.amounts import native_amount
from activityctl.domain.chain.fees import Fees, first_fees
from activityctl.domain.chain.hook_outcome import HookError
from activityctl.domain.chain.keys import KeyKind
from activityctl.domain.chain.plugin import execution_call
from activityctl.domain.chain.relaying import Candidate, RelayTransaction, choose_relayer
from activityctl.domain.runs.signing import SigningRefusedError
from activityctl.errors import ConflictError, NotFoundError
from activityctl.executors.relays import node_calls
from activityctl.executors.relays.passage import NotYetError, Passage
from activityctl.executors.relays.trial import RefusedError, try_call
from activityctl.ports import SenderFacts, TransactionDraft


class Preparing:
    """Drafts the first transaction of a trigger and has it signed."""

    def __init__(self, passage: Passage) -> None:
        self._passage = passage
        self._request = passage.request
        self._terms = passage.terms
        self._nodes = passage.nodes

    async def sign(self) -> RelayTransaction:
        """Return the signed transaction, which is written down and not sent yet.

        Raises RefusedError if the call is not to be sent, NotYetError if it cannot be now.
        """
        request, terms = self._request, self._terms
        candidates = await self._candidates()
        data = execution_call(
            request.executable, request.account, request.executor, request.executor_signature
        )
        gas = await self._gas(choose_relayer(candidates, 0) or candidates[0], data)
        fees = await self._fees()
        chosen = choose_relayer(candidates, gas * fees.max_fee_wei)
        if chosen is None:
            raise _no_funds(candidates, gas * fees.max_fee_wei)
        nonce, is_new = await self._chain_nonce(chosen.address)
        draft = TransactionDraft(
            request.key,
            1,
            chosen.name,
            request.chain_id,
            terms.plugin,
            data,
            gas,
            fees.max_fee_wei,
            fees.priority_fee_wei,
            nonce,
            is_new,
        )
        try:
            signed = await self._passage.ports.signer.sign_transaction(draft)
        except SigningRefusedError as error:
            raise RefusedError(error.refusal.error, error.message) from None
        except (NotFoundError, ConflictError) as error:
            raise RefusedError(HookError.KEY_MISSING, error.message) from None
        if signed.drift:
            await self._tell_drift(signed.transaction, signed.drift)
        return signed.transaction

    async def _candidates(self) -> Sequence[Candidate]:
        names, chain_id = self._terms.relayers, self._request.chain_id
        signer, ledger = self._passage.ports.signer, self._passage.ports.ledger
        known = await signer.addresses(names, KeyKind.RELAYER)
        present = [name for name in names if name in known]
        if not present:
            raise RefusedError(
                HookError.KEY_MISSING,
                f"no key of the relayers is there: {', '.join(names)}; make one: activityctl keys "
                f"create {names[0]} --kind relayer",
            )
        facts = await ledger.senders([(chain_id, known[name]) for name in present])
        found = []
        for name in present:
            address = known[name]
            balance = await self._balance(address)
            sender = facts.get(f"{chain_id}/{address}")
            found.append(Candidate(name, address, sender.open_count if sender else 0, balance))
        return found

    async def _balance(self, address: str) -> int:
        return await self._nodes.use(
            lambda node: node_calls.read_number(node, "eth_getBalance", address, "latest")
        )

    async def _gas(self, sender: Candidate, data: bytes) -> int:
        """Simulate the call, and return the limit of gas for it."""
        call = {"from": sender.address, "to": self._terms.plugin, "data": "0x" + data.hex()}
        return await try_call(self._nodes, call, self._terms.max_gas)

    async def _fees(self) -> Fees:
        market = await self._nodes.use(node_calls.read_market)
        if market is None:
            message = f"chain {self._request.chain_id} has no base fee (EIP-1559)"
            raise RefusedError(HookError.RELAY_FAILED, message)
        fees = first_fees(market, self._terms.max_fee_wei)
        if fees is None:
            raise NotYetError(
                "fee_too_high",
                f"gas costs {market.base_fee_wei} wei now; maxFeePerGas is "
                f"{self._terms.max_fee_wei}",
            )
        return fees

    async def _chain_nonce(self, sender: str) -> tuple[int, bool]:
        """Return the nonce that the chain wants next, and whether the chain was made anew."""
        chain_id = self._request.chain_id
        nonce = await self._nodes.use(lambda node: node_calls.next_nonce(node, sender))
        known = await self._passage.ports.ledger.senders([(chain_id, sender)])
        facts: SenderFacts | None = known.get(f"{chain_id}/{sender}")
        if facts is None or nonce >= facts.next_nonce or facts.open_count:
            return nonce, False
        last = facts.last_hash
        if last is None:
            return nonce, False
        answers = await self._nodes.each(lambda node: node_calls.knows(node, last))
        return nonce, bool(answers) and not any(answers)

    async def _tell_drift(self, transaction: RelayTransaction, drift: int) -> None:
        sender, nonce = transaction.sender, transaction.nonce
        if drift > 0:
            what = f"another program has sent {drift} transactions of {transaction.relayer}"
        else:
            what = f"the chain knows no transaction of {transaction.relayer}: it was made anew"
        await self._request.tell(
            "warning", f"{what}; the nonces of {sender} go on with {nonce}", {"nonce": nonce}
        )


def _no_funds(candidates: Sequence[Candidate], cost_wei: int) -> NotYetError:
    richest = max(candidates, key=lambda candidate: candidate.balance_wei)
    return NotYetError(
        "relayer_funds",
        f"no relayer can pay {native_amount(cost_wei)} of the chain's currency for the "
        f"transaction; {richest.name} has {native_amount(richest.balance_wei)}: send more to "
        f"{richest.address}",
    )
