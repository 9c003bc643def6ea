"""Which logs of past blocks would fire the chain triggers of a subscription; nothing is stored."""

from collections.abc import Sequence
from typing import Any, Final

from activityctl.domain.chain.chain_log import ChainLog, read_header, read_log
from activityctl.domain.chain.log_event import log_event
from activityctl.domain.chain.node_answer import AnswerFault
from activityctl.domain.chain.trigger import ChainTrigger
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.subscription import Subscription, effective_triggers
from activityctl.domain.routing.index import Listener, match_listener
from activityctl.domain.routing.listeners import CHAIN, listeners_of
from activityctl.domain.values.ids import canonical_json
from activityctl.domain.values.json_form import View
from activityctl.errors import UsageError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import CallRefusedError, ChainNode, ChainNodes, Chains, NodeFaultError

MOST_BLOCKS: Final = 100_000
MOST_LOGS: Final = 1_000
_STEP: Final = 2_000


@frozen_dataclass
class FoundLog:
    """A log that fulfils the conditions of a trigger that a node can check."""

    trigger: str
    log: ChainLog
    event: dict[str, Any]
    reason: str | None
    """Why it would not fire the trigger; None if it would."""

    @property
    def view(self) -> View:
        """The form for output; its event can be saved for `--event`."""
        return {
            "trigger": self.trigger,
            "block": self.log.block_number,
            "logIndex": self.log.log_index,
            "transactionHash": self.log.transaction_hash,
            "address": self.log.address,
            "fires": self.reason is None,
            "reason": self.reason,
            "event": self.event,
        }


def chain_triggers(
    owner: Subscription, spec: DefinitionSpec, name: str | None
) -> list[tuple[ChainTrigger, Listener]]:
    """Return the chain triggers of a subscription, or the named one. UsageError without any."""
    written = {
        trigger.name: ChainTrigger.model_validate_json(canonical_json(trigger.body))
        for trigger in effective_triggers(spec, owner.triggers)
        if trigger.kind == CHAIN and name in {None, trigger.name}
    }
    if not written:
        raise UsageError("a range of blocks needs a chain trigger, and there is no such one")
    listeners = listeners_of(owner.id, spec, owner.params, owner.triggers)
    return [
        (written[listener.trigger], listener)
        for listener in listeners
        if listener.trigger in written
    ]


async def logs_in_range(
    chains: Chains, triggers: Sequence[tuple[ChainTrigger, Listener]], first: int, last: int
) -> list[FoundLog]:
    """Return the logs of the blocks from `first` to `last`, in order, for each trigger."""
    if last < first:
        raise UsageError("--to-block is before --from-block")
    if last - first >= MOST_BLOCKS:
        raise UsageError(f"the range has more than {MOST_BLOCKS:,} blocks")
    found: list[FoundLog] = []
    for trigger, listener in triggers:
        nodes = await chains.nodes(trigger.chain_id)
        times: dict[int, int] = {}
        for start in range(first, last + 1, _STEP):
            logs = await _logs(nodes, trigger, start, min(last, start + _STEP - 1))
            for log in logs:
                time = await _time(nodes, log, times)
                seen = _found(trigger, listener, log, time)
                found += [] if seen is None else [seen]
            if len(found) > MOST_LOGS:
                raise UsageError(f"there are more than {MOST_LOGS:,} logs: take a smaller range")
    return sorted(found, key=lambda each: each.log.place)


def _found(trigger: ChainTrigger, listener: Listener, log: ChainLog, time: int) -> FoundLog | None:
    envelope = log_event(trigger.chain_id, trigger.lane, trigger.signature, log, time)
    if envelope is None:
        return None
    event = dict(envelope.document)
    match = match_listener(listener, event)
    reason = None if match.matched else match.reason or "it does not match"
    return FoundLog(listener.trigger, log, event, reason)


async def _logs(nodes: ChainNodes, trigger: ChainTrigger, first: int, last: int) -> list[ChainLog]:
    """Return the logs of a range, in halves if it is too wide for the node."""
    query = {**trigger.log_filter.query(), "fromBlock": hex(first), "toBlock": hex(last)}

    async def read(node: ChainNode) -> list[ChainLog]:
        answer = await node.call("eth_getLogs", query)
        try:
            if not isinstance(answer, list):
                raise ValueError("the answer is no list")  # noqa: TRY004, TRY301  # as what is below
            return sorted(map(read_log, answer), key=lambda log: log.place)
        except ValueError as error:
            raise NodeFaultError(f"eth_getLogs: {error}") from None

    try:
        return await nodes.use(read)
    except CallRefusedError as error:
        if error.fault is not AnswerFault.TOO_WIDE or first == last:
            raise
    middle = (first + last) // 2
    return [
        *await _logs(nodes, trigger, first, middle),
        *await _logs(nodes, trigger, middle + 1, last),
    ]


async def _time(nodes: ChainNodes, log: ChainLog, known: dict[int, int]) -> int:
    """Return the time of the log's block."""
    if log.block_time is not None:
        return log.block_time
    if log.block_number not in known:

        async def read(node: ChainNode) -> int:
            answer = await node.call("eth_getBlockByNumber", hex(log.block_number), False)
            try:
                return read_header(answer).time
            except ValueError as error:
                raise NodeFaultError(f"eth_getBlockByNumber: {error}") from None

        known[log.block_number] = await nodes.use(read)
    return known[log.block_number]
