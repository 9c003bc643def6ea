"""How far EVM chains are read, and for which triggers."""

from collections.abc import Iterable

from activityctl.domain.chain.reading import Reading
from activityctl.domain.chain.trigger import LATEST, ChainTrigger
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.selection import Selection
from activityctl.ports import Catalog, ChainFilter, ChainStore, ChainSummary


def blocks_behind(reading: Reading, head: int) -> int:
    """Return how many blocks a reading may read already."""
    return max(0, reading.target(head) - reading.number)


def chain_view(chain: ChainSummary) -> View:
    """Return how far a chain is read."""
    behind = {
        reading.id: None if chain.head is None else blocks_behind(reading, chain.head)
        for reading in chain.readings
    }
    known = [blocks for blocks in behind.values() if blocks is not None]
    return {
        "chainId": chain.chain_id,
        "triggers": chain.triggers,
        "head": chain.head,
        "checkedAt": format_timestamp(chain.checked_at),
        "block": min([reading.number for reading in chain.readings], default=None),
        "behind": max(known, default=None),
        "error": chain.error,
        "failingSince": format_timestamp(chain.failing_since),
        "nodes": [{"name": node.name, "fault": node.fault} for node in chain.nodes],
        "readings": [
            {
                "id": reading.id,
                "confirmations": reading.confirmations,
                "block": reading.number,
                "blockHash": reading.hash,
                "until": reading.until,
                "behind": behind[reading.id],
            }
            for reading in chain.readings
        ],
    }


async def chain_views(catalog: Catalog, store: ChainStore, selection: Selection) -> list[View]:
    """Return the chains that triggers watch, each with its nodes, readings and filters."""
    found = [
        chain for chain in await store.summary() if selection.name in {None, str(chain.chain_id)}
    ]
    names = await _names(catalog) if found else {}
    return [
        {**chain_view(chain), "filters": [_filter_view(each, names) for each in chain.filters]}
        for chain in found[: selection.limit]
    ]


async def chain_notes(store: ChainStore, subscription: str) -> list[str]:
    """Return a sentence for each chain trigger of a subscription: what it reads, up to where."""
    return [
        _note(chain, each)
        for chain in await store.summary()
        for each in chain.filters
        if each.subscription_id == subscription
    ]


def notes_of_files(triggers: Iterable[tuple[str, ChainTrigger]]) -> list[str]:
    """Return a sentence for each chain trigger that is not applied yet."""
    return [f"{_follows(name, trigger)}" for name, trigger in triggers]


async def _names(catalog: Catalog) -> dict[str, str]:
    owners = await catalog.subscriptions(Selection(limit=None))
    return {str(owner.id): owner.name for owner in owners}


def _filter_view(each: ChainFilter, names: dict[str, str]) -> View:
    trigger, watch = each.trigger, each.watch
    event = trigger.signature
    wanted = trigger.log_filter.query()
    return {
        "subscription": names.get(each.subscription_id),
        "subscriptionId": each.subscription_id,
        "trigger": each.name,
        "address": wanted.get("address", []),
        "topics": wanted.get("topics", []),
        "event": None if event is None else event.text,
        "confirmations": trigger.confirmations,
        "fromBlock": trigger.from_block,
        "after": None if watch is None else watch.after,
        "scan": None if watch is None else watch.scan,
    }


def _follows(name: str, trigger: ChainTrigger) -> str:
    start = "" if trigger.from_block == LATEST else f" from block {trigger.from_block:,} on"
    after = count_noun(trigger.confirmations, "confirmation", "confirmations")
    return f"trigger {name} fires by logs of chain {trigger.chain_id}{start}, after {after}"


def _note(chain: ChainSummary, each: ChainFilter) -> str:
    text = _follows(each.name, each.trigger)
    if chain.error is not None:
        return f"{text}; the chain cannot be read: {chain.error}"
    served = {each.trigger.lane, None if each.watch is None else each.watch.scan}
    readings = [reading for reading in chain.readings if reading.id in served]
    if each.watch is None or not readings or chain.head is None:
        return f"{text}; it has not begun: no node has told the height of the chain yet"
    number = min(reading.number for reading in readings)
    behind = sum(blocks_behind(reading, chain.head) for reading in readings)
    rest = f", {count_noun(behind, 'block', 'blocks')} to go" if behind else ""
    return f"{text}; read up to block {number:,}{rest}"
