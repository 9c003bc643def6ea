"""ChainTrigger: which logs of a chain start a run, as YAML has it, and its event trigger."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema

from activityctl.domain.cel.static_type import StaticType
from activityctl.domain.chain.event_signature import (
    EventSignature,
    read_signature,
    signature_of_abi,
)
from activityctl.domain.chain.hexadecimal import address, word
from activityctl.domain.chain.log_filter import LogFilter
from activityctl.domain.events.envelope import CHAIN_FEED
from activityctl.domain.events.gathering_options import Batch, Debounce
from activityctl.domain.events.trigger import EventTrigger, check_event_trigger
from activityctl.domain.timing.options import Bounded
from activityctl.domain.values.finding import Finding
from activityctl.domain.values.model import JsonValue

LOG_TYPE: Final = "chain.log"
"""The type of the event of a log."""
REMOVED_TYPE: Final = "chain.log.removed"
"""The type of the event that a log is no longer in the chain."""
LATEST: Final = "latest"
FEED: Final = CHAIN_FEED
"""The extension attribute that says which reading of the chain an event belongs to.

Nobody but a worker can give it, so an event that somebody emits starts no chain trigger.
"""
_MOST_ALTERNATIVES: Final = 256
_MOST_TOPICS: Final = 4
_MOST_CONFIRMATIONS: Final = 10_000
_LARGEST: Final = 2**53 - 1


def source_of(chain_id: int) -> str:
    """Return the source of the events of a chain: its name in CAIP-2."""
    return f"eip155:{chain_id}"


def _as_list(value: object) -> object:
    return value if isinstance(value, list | tuple) or value is None else (value,)


def _check_block(value: object) -> object:
    if value == LATEST:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST:
        return value
    raise ValueError("should be latest, or the number of a block")


def _check_abi(value: object) -> object:
    if isinstance(value, str):
        read_signature(value)
    elif isinstance(value, Mapping):
        signature_of_abi(value)
    else:
        raise ValueError(  # noqa: TRY004  # pydantic reports it
            "should be a declaration such as event Transfer(address indexed from, …), or the "
            "event's item in a JSON ABI"
        )
    return value


_ADDRESS_SCHEMA: Final = {"type": "string", "pattern": "^0x[0-9a-fA-F]{40}$"}
_WORD_SCHEMA: Final = {"type": "string", "pattern": "^0x[0-9a-fA-F]{64}$"}


def _one_or_many(item: dict[str, Any], *more: dict[str, Any]) -> WithJsonSchema:
    many = {"type": "array", "items": item, "minItems": 1, "maxItems": _MOST_ALTERNATIVES}
    return WithJsonSchema({"anyOf": [item, many, *more]})


Addresses = Annotated[
    tuple[Annotated[str, AfterValidator(address)], ...],
    BeforeValidator(_as_list),
    Field(strict=False, min_length=1, max_length=_MOST_ALTERNATIVES),
    _one_or_many(_ADDRESS_SCHEMA),
]
Topic = Annotated[
    Annotated[
        tuple[Annotated[str, AfterValidator(word)], ...],
        Field(strict=False, min_length=1, max_length=_MOST_ALTERNATIVES),
    ]
    | None,
    BeforeValidator(_as_list),
    _one_or_many(_WORD_SCHEMA, {"type": "null"}),
]


class ChainTrigger(Bounded):
    """Due for each log of an EVM chain that fulfils all conditions."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "chainId": 8453,
                    "address": "0x833589fcd6edb6e08f4c7c32d4f71b54bda02913",
                    "abi": "event Transfer(address indexed from, address indexed to, "
                    "uint256 value)",
                }
            ]
        }
    )

    chain_id: int = Field(
        ge=1,
        le=_LARGEST,
        description="The id of the chain. The secret `chain-<id>` has the URLs of its nodes.",
        examples=[8453],
    )
    address: Addresses | None = Field(
        default=None,
        description="The contract that writes the log. With a list, one of them. Default: any.",
        examples=["0x833589fcd6edb6e08f4c7c32d4f71b54bda02913"],
    )
    topics: Annotated[tuple[Topic, ...], Field(strict=False, max_length=_MOST_TOPICS)] = Field(
        default=(),
        description="The topics that a log must have, by place. With a list, one of them; null: "
        "any topic, but there must be one. Default: any.",
        examples=[["0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef", None]],
    )
    abi: Annotated[
        JsonValue,
        AfterValidator(_check_abi),
        WithJsonSchema({"type": ["string", "object", "null"]}),
    ] = Field(
        default=None,
        description="The declaration of the event, as text or as its item in a JSON ABI. Its hash "
        "is the first topic, and `event.data.args` has its values by name. Default: the log is "
        "not decoded.",
        examples=["event Transfer(address indexed from, address indexed to, uint256 value)"],
        validate_default=False,
    )
    from_block: Annotated[
        int | str,
        BeforeValidator(_check_block),
        WithJsonSchema(
            {
                "anyOf": [
                    {"const": LATEST},
                    {"type": "integer", "minimum": 0, "maximum": _LARGEST},
                ]
            }
        ),
    ] = Field(
        default=LATEST,
        description="The first block whose logs count: its number, or `latest` for those after "
        "the trigger was applied. When this changes, the trigger begins anew.",
        examples=[21_000_000],
    )
    confirmations: int = Field(
        default=12,
        ge=0,
        le=_MOST_CONFIRMATIONS,
        description="How many blocks must follow before a log counts. With 0 it counts at once, "
        "and may be taken back by a reorganisation.",
        examples=[0],
    )
    filter: str | None = Field(
        default=None,
        description="A CEL expression over `event` and `params` that must be true. If it cannot "
        "be evaluated, the log does not match and the reason is recorded.",
        examples=['big.compare(event.data.args.value, "1000000") >= 0'],
    )
    ordered: bool = Field(
        default=False,
        description="Whether the runs of a subscription start in the order of the logs. With "
        "`concurrency.key`, the order is kept for each value of the key.",
        examples=[True],
    )
    priority: int = Field(
        default=0,
        ge=0,
        le=100,
        description="Among due firings and among queued runs, a higher priority starts first.",
        examples=[10],
    )
    debounce: Debounce | None = Field(
        default=None,
        description="Start one run for logs that follow each other closely.",
        examples=[{"for": "10s"}],
    )
    batch: Batch | None = Field(
        default=None,
        description="Start one run for many logs.",
        examples=[{"size": 100, "within": "30s"}],
    )

    @property
    def signature(self) -> EventSignature | None:
        """The declared event; None without an ABI."""
        if self.abi is None:
            return None
        return read_signature(self.abi) if isinstance(self.abi, str) else signature_of_abi(self.abi)

    @property
    def log_filter(self) -> LogFilter:
        """The conditions that a node can check."""
        places = [None if topic is None else frozenset(topic) for topic in self.topics]
        event = self.signature
        if event is not None and not event.is_anonymous:
            places[:1] = [frozenset({event.topic})]
        return LogFilter(frozenset(self.address or ()), tuple(places))

    @property
    def lane(self) -> str:
        """The id of the reading that it belongs to: the logs with as many confirmations."""
        return lane_id(self.chain_id, self.confirmations)

    @property
    def first_wanted(self) -> int | None:
        """The number of the first block; None for `latest`."""
        return self.from_block if isinstance(self.from_block, int) else None


def lane_id(chain_id: int, confirmations: int) -> str:
    """Return the id of the reading of a chain's logs with so many confirmations."""
    return f"{chain_id}/{confirmations}"


def feed_of(reading: str, event: EventSignature | None) -> str:
    """Return the feed of a reading: its logs decoded by this declaration."""
    return reading if event is None else f"{reading} {event.text}"


def as_event_trigger(
    trigger: ChainTrigger, *, after: int | None = None, scan: str | None = None
) -> EventTrigger:
    """Return the event trigger that does the same with the events of logs.

    With `after`, events of its lane count from the block after this one on. Those of `scan`, the
    reading of the blocks before, all count.
    """
    wanted = trigger.log_filter
    feeds = [feed_of(trigger.lane, trigger.signature)]
    conditions = []
    if after is not None:
        conditions.append(f"event.data.blockNumber > {after}")
        if scan is not None:
            feeds.append(feed_of(scan, trigger.signature))
            conditions[0] = f"({conditions[0]} || event.{FEED} == {json.dumps(feeds[1])})"
    match: dict[str, JsonValue] = {FEED: feeds}
    if wanted.addresses:
        match["data.address"] = sorted(wanted.addresses)
    for place, any_of in enumerate(wanted.topics):
        if any_of is not None:
            match[f"data.topic{place}"] = sorted(any_of)
    if wanted.topics and wanted.topics[-1] is None:
        conditions.append(f"size(event.data.topics) >= {len(wanted.topics)}")
    if trigger.filter is not None:  # it may end with a comment
        conditions.append(f"({trigger.filter}\n)" if conditions else trigger.filter)
    return EventTrigger(
        type=(LOG_TYPE,),
        source=(source_of(trigger.chain_id),),
        match=match,
        filter=" && ".join(conditions) if conditions else None,
        **{
            name: getattr(trigger, name)
            for name in ("ordered", "priority", "debounce", "batch", "exclude", "window")
        },
    )


def check_chain_trigger(trigger: ChainTrigger, params: StaticType) -> list[Finding]:
    """Return what is wrong with a trigger whose fields have the right shape."""
    findings = []
    event = trigger.signature
    if trigger.address is None and not trigger.topics and event is None:
        reason = "names no logs: write address, topics or abi, or several of them"
        findings.append(Finding((), reason))
    first = trigger.topics[0] if trigger.topics else None
    if event is not None and not event.is_anonymous and first not in (None, (event.topic,)):
        reason = f"is not the topic of {event.name}, {event.topic}; leave it out or write null"
        findings.append(Finding(("topics", 0), reason))
    alone = as_event_trigger(trigger).model_copy(update={"filter": trigger.filter})
    return findings + check_event_trigger(alone, params)
