"""ChainLog: one log of a contract, as a node gives it; the events made of it are in `log_event`."""

from collections.abc import Mapping
from typing import Any, Final

from activityctl.domain.chain.hexadecimal import address, data, quantity, word
from activityctl.frozen_dataclass import frozen_dataclass

_MOST_TOPICS: Final = 4


@frozen_dataclass
class ChainLog:
    """A log in a block; all hexadecimal texts are in lower case."""

    address: str
    topics: tuple[str, ...]
    data: str
    block_number: int
    block_hash: str
    transaction_hash: str
    transaction_index: int
    log_index: int
    block_time: int | None = None
    """The time of the block in seconds since 1970, if the node said it."""

    @property
    def place(self) -> tuple[int, int]:
        """The block and the place in it, for sorting."""
        return self.block_number, self.log_index


@frozen_dataclass
class BlockHeader:
    """What identifies a block, and its parent."""

    number: int
    hash: str
    parent: str
    time: int
    """Seconds since 1970."""


def read_log(value: Any) -> ChainLog:
    """Return a log of `eth_getLogs`. Raises ValueError if it is malformed or not in a block."""
    if not isinstance(value, Mapping):
        raise ValueError("a log is no object")  # noqa: TRY004  # what callers catch
    topics = value.get("topics")
    if not isinstance(topics, list) or len(topics) > _MOST_TOPICS:
        raise ValueError("the topics of a log are no list of at most four")
    stamp = value.get("blockTimestamp")
    return ChainLog(
        address(_lower(value.get("address"))),
        tuple(word(topic) for topic in topics),
        data(value.get("data")),
        quantity(value.get("blockNumber")),
        word(value.get("blockHash")),
        word(value.get("transactionHash")),
        quantity(value.get("transactionIndex")),
        quantity(value.get("logIndex")),
        None if stamp is None else quantity(stamp),
    )


def read_header(value: Any) -> BlockHeader:
    """Return the header of `eth_getBlockByNumber`. Raises ValueError if it is malformed."""
    if not isinstance(value, Mapping):
        raise ValueError("a block is no object")  # noqa: TRY004  # what callers catch
    return BlockHeader(
        quantity(value.get("number")),
        word(value.get("hash")),
        word(value.get("parentHash")),
        quantity(value.get("timestamp")),
    )


def rpc_log(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the log of an event's data in the form of JSON-RPC, as hooks expect it."""
    numbers = ("blockNumber", "transactionIndex", "logIndex")
    texts = ("address", "topics", "data", "blockHash", "transactionHash", "removed")
    return {
        **{name: document[name] for name in texts},
        **{name: hex(document[name]) for name in numbers},
    }


def _lower(value: Any) -> Any:
    """Return a text in lower case: a node may give any case, without a checksum."""
    return value.lower() if isinstance(value, str) else value
