"""Read relayers: their address, balance and nonce on each chain where they are used."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Final

from activityctl.domain.chain.amounts import native_amount
from activityctl.domain.chain.fees import USUAL_GAS, is_low
from activityctl.domain.chain.hexadecimal import quantity
from activityctl.domain.chain.keys import KeyKind, KnownKey
from activityctl.domain.gitops.needed_keys import keys_of
from activityctl.domain.values.json_form import View
from activityctl.domain.values.selection import Selection
from activityctl.errors import ActivityctlError, NotFoundError, UsageError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Catalog, ChainNode, Chains, NodeFaultError, RelayLedger, SenderFacts

ReadRelayers = Callable[[Selection], Awaitable[list[View]]]
_CHAIN_SECONDS: Final = 5.0
"""How long one chain may take to answer."""


@frozen_dataclass
class _OnChain:
    """What a chain says of an address now."""

    balance_wei: int
    nonce: int
    gas_price_wei: int


async def relayer_views(
    catalog: Catalog, ledger: RelayLedger, chains: Chains, known: Iterable[KnownKey]
) -> list[View]:
    """Return the relayers by name and chain.

    Listed are the keys of this machine and those that live definitions name, on the chains of the
    subscriptions and where they have sent something.
    """
    keys = {key.name: key.current.public for key in known if key.kind is KeyKind.RELAYER}
    users, wanted = await _named_by_definitions(catalog)
    places: dict[tuple[str, int | None], None] = {}
    used = await ledger.used_senders()
    for name in sorted({*keys, *users}):
        of_name = {chain for owner, chain in wanted if owner == name}
        of_name |= {chain for chain, sender in used if sender == keys.get(name)}
        on_chains: list[int | None] = [*sorted(of_name)]
        places |= dict.fromkeys((name, chain) for chain in on_chains or [None])
    pairs = [(chain, keys[name]) for name, chain in places if chain is not None and name in keys]
    facts = await ledger.senders(pairs)
    return await asyncio.gather(
        *(
            _view(name, keys.get(name), chain, users.get(name, ()), facts, chains)
            for name, chain in places
        )
    )


async def low_senders(ledger: RelayLedger, chains: Chains) -> list[View]:
    """Return the relayers' addresses that have sent something and can hardly pay for more.

    A chain that does not answer is left out. Without such an address no chain is asked.
    """
    used = await ledger.used_senders()
    facts = await ledger.senders(list(used)) if used else {}
    views = await asyncio.gather(
        *(_view(address, address, chain, (), facts, chains) for chain, address in used)
    )
    fields = ("address", "chainId", "balance")
    return [{field: view[field] for field in fields} for view in views if view["isLow"]]


async def low_senders_within(
    seconds: float,
    ledger: RelayLedger,
    open_chains: Callable[[], AbstractAsyncContextManager[Chains]],
) -> list[View] | None:
    """Return the same; None if the chains do not answer in time."""
    if not await ledger.used_senders():
        return []
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), open_chains() as chains:
            return await low_senders(ledger, chains)
    return None


def relayer_reader(
    catalog: Catalog,
    ledger: RelayLedger,
    known: Callable[[], Iterable[KnownKey]],
    open_chains: Callable[[], AbstractAsyncContextManager[Chains]],
) -> ReadRelayers:
    """Return what reads the relayers of a selection; `known` lists the keys of this machine."""

    async def read(selection: Selection) -> list[View]:
        keys = await asyncio.to_thread(lambda: list(known()))
        async with open_chains() as chains:
            return selected(await relayer_views(catalog, ledger, chains, keys), selection)

    return read


async def no_relayers(selection: Selection) -> list[View]:
    """Raise UsageError: what reads has no keys and no chains."""
    del selection
    raise UsageError("relayers are not listed here", hint="activityctl get relayers")


def selected(views: Sequence[View], selection: Selection) -> list[View]:
    """Return the views with the name of the selection, or with it as `NAME@CHAIN`."""
    named = [view for view in views if selection.name in {None, view["name"], view["id"]}]
    return named[: selection.limit]


async def _named_by_definitions(
    catalog: Catalog,
) -> tuple[Mapping[str, Sequence[str]], set[tuple[str, int]]]:
    """Return which definitions name each relayer, and on which chains their accounts are."""
    present = await catalog.present()
    users: dict[str, list[str]] = {}
    relayers: dict[str, list[str]] = {}
    for name, found in sorted(present.definitions.items()):
        relayers[name] = [key.name for key in keys_of(found.spec) if key.kind is KeyKind.RELAYER]
        for relayer in relayers[name]:
            users.setdefault(relayer, []).append(f"definition/{name}")
    wanted = set()
    for subscription in await catalog.subscriptions(Selection(limit=None)):
        chain = (subscription.account or {}).get("chainId")
        if isinstance(chain, int):
            wanted |= {(relayer, chain) for relayer in relayers.get(subscription.definition, ())}
    return users, wanted


async def _view(
    name: str,
    address: str | None,
    chain_id: int | None,
    users: Sequence[str],
    facts: Mapping[str, SenderFacts],
    chains: Chains,
) -> View:
    known = facts.get(f"{chain_id}/{address}")
    found, problem = None, None
    if address is None:
        problem = "no key on this machine"
    elif chain_id is not None:
        found, problem = await _on_chain(chains, chain_id, address)
    gas = USUAL_GAS if known is None or known.last_gas is None else known.last_gas
    needs_more = found is not None and is_low(found.balance_wei, gas, found.gas_price_wei)
    if needs_more and found is not None:
        problem = "low balance"
    return {
        "id": name if chain_id is None else f"{name}@{chain_id}",
        "name": name,
        "address": address,
        "chainId": chain_id,
        "balance": None if found is None else native_amount(found.balance_wei),
        "balanceWei": None if found is None else str(found.balance_wei),
        "isLow": needs_more,
        "nonce": None if known is None else known.next_nonce,
        "chainNonce": None if found is None else found.nonce,
        "pending": 0 if known is None else known.open_count,
        "usedBy": list(users),
        "problem": problem,
    }


async def _on_chain(
    chains: Chains, chain_id: int, address: str
) -> tuple[_OnChain | None, str | None]:
    """Return what the chain says, or why it says nothing."""

    async def read(node: ChainNode) -> _OnChain:
        return _OnChain(
            await _number(node, "eth_getBalance", address, "latest"),
            await _number(node, "eth_getTransactionCount", address, "pending"),
            await _number(node, "eth_gasPrice"),
        )

    try:
        async with asyncio.timeout(_CHAIN_SECONDS):
            nodes = await chains.nodes(chain_id)
            return await nodes.use(read), None
    except TimeoutError:
        return None, "no node of the chain answers in time"
    except NotFoundError:
        return None, "no node of the chain is known on this machine"
    except ActivityctlError as error:
        return None, error.message


async def _number(node: ChainNode, method: str, *params: str) -> int:
    try:
        return quantity(await node.call(method, *params))
    except ValueError as error:
        raise NodeFaultError(f"{method}: {error}") from None
