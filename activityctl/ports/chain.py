"""Ports for EVM chains: calls to nodes, with failover."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from activityctl.domain.chain.node_answer import AnswerFault
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ActivityctlError
from activityctl.frozen_dataclass import frozen_dataclass

T = TypeVar("T")


class NodeFaultError(ActivityctlError):
    """This node cannot answer now; another may. `pause` is how long to leave it alone."""

    code = "chain_node_fault"
    retryable = True

    def __init__(self, reason: str, *, pause: float | None = None) -> None:
        super().__init__(reason)
        self.pause = pause


class CallRefusedError(ActivityctlError):
    """The node answered that it cannot carry out the call; another would say the same."""

    code = "chain_call_refused"

    def __init__(self, fault: AnswerFault, code: int, message: str, data: str | None) -> None:
        super().__init__(message)
        self.fault = fault
        self.rpc_code = code
        self.data = data
        """The bytes that a contract gave as its reason."""


class ChainNode(Protocol):
    """One node, while it is in use."""

    name: str
    """Its host, for messages; never its URL, which holds a token."""

    async def call(self, method: str, *params: JsonValue) -> JsonValue:
        """Return the result, which may be null.

        Raises NodeFaultError if another node should be asked, CallRefusedError if the node
        refuses this call.
        """
        ...


@frozen_dataclass
class NodeState:
    """A node of a chain, as it was last asked."""

    name: str
    """Its host; never its URL, which holds a token."""
    fault: str | None = None
    """Why it cannot be used now; None if nothing is known against it."""


class ChainNodes(Protocol):
    """The nodes of one chain."""

    chain_id: int

    def states(self) -> tuple[NodeState, ...]:
        """Return every node with its last fault, the preferred one first; this asks nobody."""
        ...

    async def use(self, work: Callable[[ChainNode], Awaitable[T]]) -> T:
        """Do the work with one node; when it raises NodeFaultError, with the next.

        Work that needs several calls gets them answered by one node. Raises UnreachableError,
        with the fault of each node, when no node can.
        """
        ...

    async def each(self, work: Callable[[ChainNode], Awaitable[T]]) -> list[T]:
        """Do the work with every node at once; leave out those with a fault."""
        ...


class Chains(Protocol):
    """The nodes of every chain that this machine knows."""

    async def nodes(self, chain_id: int) -> ChainNodes:
        """Return the nodes of the chain.

        Raises NotFoundError if nobody has said which they are, InvalidInputError if what was said
        cannot be used.
        """
        ...
