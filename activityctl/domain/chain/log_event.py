"""Makes the events of logs: one for each log and declaration that a trigger uses."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from activityctl.domain.chain.chain_log import ChainLog
from activityctl.domain.chain.event_signature import EventSignature
from activityctl.domain.chain.trigger import FEED, LOG_TYPE, REMOVED_TYPE, feed_of, source_of
from activityctl.domain.events.envelope import SPEC_VERSION, EventEnvelope
from activityctl.domain.values.log import LogEntry
from activityctl.domain.values.model import JsonValue

_DIGEST_DIGITS = 8


def log_event(
    chain_id: int, reading: str, event: EventSignature | None, log: ChainLog, block_time: int
) -> EventEnvelope | None:
    """Return the event of a log; None if the log cannot be of the declared event.

    It follows from the arguments alone, so the same log gives the same event again. Its id begins
    with the hash of the block.
    """
    decoded: dict[str, JsonValue] = {}
    if event is not None:
        try:
            decoded = {"event": event.name, "args": event.values_of(log)}
        except ValueError:
            return None
    feed = feed_of(reading, event)
    digest = hashlib.sha256(feed.encode()).hexdigest()[:_DIGEST_DIGITS]
    moment = datetime.fromtimestamp(block_time, UTC)
    return EventEnvelope(
        {
            "specversion": SPEC_VERSION,
            "id": f"{log.block_hash}/{log.transaction_hash}/{log.log_index}/{digest}",
            "source": source_of(chain_id),
            "type": LOG_TYPE,
            "subject": log.address,
            "time": moment.isoformat().replace("+00:00", "Z"),
            FEED: feed,
            "data": {"chainId": chain_id, **_data(log), **decoded},
        },
        moment,
    )


def _data(log: ChainLog) -> dict[str, JsonValue]:
    return {
        "address": log.address,
        "topics": list(log.topics),
        **{f"topic{place}": topic for place, topic in enumerate(log.topics)},
        "data": log.data,
        "blockNumber": log.block_number,
        "blockHash": log.block_hash,
        "transactionHash": log.transaction_hash,
        "transactionIndex": log.transaction_index,
        "logIndex": log.log_index,
        "removed": False,
    }


def removed_event(document: Mapping[str, Any]) -> EventEnvelope:
    """Return the event that the log of this event is no longer in the chain."""
    return EventEnvelope(
        {
            **document,
            "id": f"{document['id']}/removed",
            "type": REMOVED_TYPE,
            "data": {**document["data"], "removed": True},
        },
        datetime.fromisoformat(document["time"]),
    )


def log_removed_entry(
    subscription_id: str,
    run_id: str,
    trigger: str,
    event_id: str,
    document: Mapping[str, Any],
    at: datetime,
) -> LogEntry:
    """Return the warning for the log of a subscription that this event had started."""
    data = document["data"]
    message = (
        f"log {data['logIndex']} of transaction {data['transactionHash']} is no longer in chain "
        f"{data['chainId']}: block {data['blockNumber']} was replaced"
    )
    metadata = {"trigger": trigger, "event": event_id}
    return LogEntry(subscription_id, run_id, message, "warning", at, metadata)
