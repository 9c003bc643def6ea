"""The trial of a call: what the chain would do with it now, before anything is signed."""

from collections.abc import Mapping

from activityctl.domain.chain.fees import gas_limit
from activityctl.domain.chain.hook_outcome import HookError, HookOutcome, failed
from activityctl.domain.chain.node_answer import AnswerFault
from activityctl.domain.chain.revert_reason import revert_reason
from activityctl.errors import ActivityctlError
from activityctl.executors.relays import node_calls
from activityctl.ports import CallRefusedError, ChainNodes


class RefusedError(ActivityctlError):
    """The call is not sent, now or later."""

    def __init__(self, error: HookError, message: str) -> None:
        super().__init__(message)
        self.outcome: HookOutcome = failed(error, message)


async def try_call(nodes: ChainNodes, call: Mapping[str, str], most: int | None) -> int:
    """Simulate the call, and return the limit of gas for it; `most` is that of the policy.

    Raises RefusedError if the contract refuses the call, or if it needs more gas.
    """
    sent = dict(call)
    try:
        await nodes.use(lambda node: node.call("eth_call", sent, "latest"))
        estimate = await nodes.use(
            lambda node: node_calls.read_number(node, "eth_estimateGas", sent)
        )
    except CallRefusedError as error:
        if error.fault is not AnswerFault.REVERTED:
            raise
        reason = revert_reason(error.data, error.message)
        message = f"the simulated call was refused: {reason}"
        raise RefusedError(HookError.SIMULATION_REVERTED, message) from None
    gas = gas_limit(estimate)
    if most is None or gas <= most:
        return gas
    if estimate <= most:
        return most
    message = f"the call needs {estimate:,} gas; maxGas of the policy is {most:,}"
    raise RefusedError(HookError.GAS_CAP, message)
