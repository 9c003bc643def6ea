"""Checks, before anything is relayed, that the executor itself has signed the call.

Its signature is bound to the plugin's nonce, which is read from the chain. A contract is asked
whether a signature is its own (EIP-1271). With `autosign` we sign for the executor.
"""

from typing import TYPE_CHECKING, Final

from activityctl.domain.chain.hexadecimal import data, hex_bytes
from activityctl.domain.chain.hook_outcome import HookError
from activityctl.domain.chain.policy import Refusal
from activityctl.domain.runs.signing import SigningRefusedError
from activityctl.errors import ActivityctlError, NotFoundError, TaskError, UnreachableError
from activityctl.executors.relayed_body import RelayedBody
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import (
    CallRefusedError,
    ChainNode,
    ChainNodes,
    Chains,
    ExecutionDraft,
    NodeFaultError,
    Signer,
)

if TYPE_CHECKING:  # it loads the libraries of signatures
    from activityctl.domain.chain.executable import Executable, ExecutionContext
    from activityctl.domain.chain.hook_response import ExecutableTask

_EMPTY: Final = frozenset({"", "0x"})
_WORD: Final = 32
_AHEAD: Final = 16
"""How many nonces after the chain's one are tried, to say that a signature is early, not wrong."""


class SignatureRefusedError(Exception):
    """The call must not be relayed: nobody who may has signed it."""

    def __init__(self, error: HookError, message: str) -> None:
        super().__init__(message)
        self.error = error


@frozen_dataclass
class HookParams:
    """For which account, on which chain, the executor was asked."""

    hook_key: str
    """The key of the trigger in the ledger of hooks."""
    chain_id: int
    account: str
    executor: str


class ExecutorSignatures:
    """Returns signatures that the plugin will accept, or says why there is none."""

    def __init__(self, chains: Chains, signer: Signer) -> None:
        self._chains = chains
        self._signer = signer

    async def checked(self, body: RelayedBody, params: HookParams, task: "ExecutableTask") -> str:
        """Return the executor's signature of the task, which is its own, for this nonce.

        Raises SignatureRefusedError if it is not, and TaskError for what another attempt may mend.
        """
        from activityctl.domain.chain.executable import ExecutionContext

        if body.plugin is None:
            raise SignatureRefusedError(
                HookError.RELAYER_MISSING,
                f"the call to {task.executable.to} was not sent: the definition has no plugin, "
                "the contract that lets the account make it",
            )
        given = task.executor_signature
        if given in _EMPTY and body.autosign is None:
            raise _invalid("the signature is empty: the executor has not signed the call")
        nodes = await self._nodes(params.chain_id)
        nonce = await _nonce(nodes, body.plugin, params)
        context = ExecutionContext(
            body.field_set, params.chain_id, body.plugin, params.account, params.executor, nonce
        )
        if given in _EMPTY:
            draft = ExecutionDraft(params.hook_key, str(body.autosign), task.executable, context)
            return await self._signed(draft)
        await _check(nodes, task.executable, context, given)
        return given

    async def counted(self, hook_key: str) -> Refusal | None:
        """Have the signer count a call that a service will send; return why it must not be."""
        try:
            await self._signer.count_call(hook_key)
        except SigningRefusedError as error:
            return error.refusal
        except UnreachableError as error:
            raise TaskError(_full(error), code="signer_unavailable") from error
        return None

    async def _nodes(self, chain_id: int) -> ChainNodes:
        try:
            return await self._chains.nodes(chain_id)
        except UnreachableError as error:
            raise TaskError(_full(error), code="chain_unavailable") from error
        except NotFoundError as error:
            message = (
                f"the nodes of chain {chain_id} are not known on this worker: activityctl "
                f"secrets set chain-{chain_id}"
            )
            raise TaskError(message, code="chain_missing", retryable=False) from error
        except ActivityctlError as error:
            raise TaskError(_full(error), code="chain_unusable", retryable=False) from error

    async def _signed(self, draft: ExecutionDraft) -> str:
        try:
            return await self._signer.sign_execution(draft)
        except UnreachableError as error:
            raise TaskError(_full(error), code="signer_unavailable") from error
        except SigningRefusedError as error:
            raise SignatureRefusedError(error.refusal.error, error.message) from error
        except ActivityctlError as error:
            raise SignatureRefusedError(
                HookError.KEY_MISSING, f"autosign: {_full(error)}"
            ) from error


async def _nonce(nodes: ChainNodes, plugin: str, params: HookParams) -> int:
    """Return the executor's next nonce: the highest that a node knows, because one may lag."""
    from activityctl.domain.chain.plugin import nonce_call

    call_data = nonce_call(params.account, params.executor)

    async def read(node: ChainNode) -> int:
        answer = await _call(node, plugin, call_data)
        if len(answer) != _WORD:
            raise SignatureRefusedError(
                HookError.PLUGIN_UNUSABLE,
                f"the contract {plugin} of chain {params.chain_id} has no executorNonce; is it "
                "the plugin?",
            )
        return int.from_bytes(answer)

    try:
        found = await nodes.each(read) or [await nodes.use(read)]
    except CallRefusedError as error:
        raise SignatureRefusedError(
            HookError.PLUGIN_UNUSABLE,
            f"the contract {plugin} of chain {params.chain_id} gave no executorNonce: "
            f"{error.message}",
        ) from error
    except UnreachableError as error:
        raise TaskError(_full(error), code="chain_unavailable") from error
    return max(found)


async def _check(
    nodes: ChainNodes, executable: "Executable", context: "ExecutionContext", signature: str
) -> None:
    from activityctl.domain.chain.executable import check_executable

    try:
        check_executable(executable, context, signature)
    except ValueError as error:
        reason = str(error)
    else:
        return
    _refuse_to_wait(executable, context, signature)
    if not await _is_of_contract(nodes, executable, context, signature):
        raise _invalid(reason)


def _refuse_to_wait(executable: "Executable", context: "ExecutionContext", signature: str) -> None:
    """Raise a failure that is repeated if the signature is for one of the next nonces."""
    from dataclasses import replace

    from activityctl.domain.chain.executable import check_executable

    for nonce in range(context.nonce + 1, context.nonce + 1 + _AHEAD):
        try:
            check_executable(executable, replace(context, nonce=nonce), signature)
        except ValueError:
            continue
        raise TaskError(
            f"the executor has signed with the nonce {nonce}, and the chain is at {context.nonce}: "
            "an earlier call of it is still open, or the node lags behind",
            code="nonce_ahead",
        )


async def _is_of_contract(
    nodes: ChainNodes, executable: "Executable", context: "ExecutionContext", signature: str
) -> bool:
    """Return what the executor says if it is a contract; False if it is none."""
    from activityctl.domain.chain.executable import (
        execution_digest,
        is_valid_signature_call,
        says_valid,
    )

    try:
        raw = hex_bytes(signature)
    except ValueError:
        return False
    asked = is_valid_signature_call(execution_digest(executable, context), raw)

    async def ask(node: ChainNode) -> bool:
        return says_valid(await _call(node, context.executor, asked))

    try:
        return await nodes.use(ask)
    except CallRefusedError:
        return False
    except UnreachableError as error:
        raise TaskError(_full(error), code="chain_unavailable") from error


async def _call(node: ChainNode, to: str, call_data: bytes) -> bytes:
    params = {"to": to, "data": "0x" + call_data.hex()}
    answer = await node.call("eth_call", params, "latest")
    try:
        return hex_bytes(data(answer))
    except ValueError as error:
        raise NodeFaultError(f"eth_call: {error}") from None


def _full(error: ActivityctlError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message


def _invalid(reason: str) -> SignatureRefusedError:
    return SignatureRefusedError(
        HookError.SIGNATURE_INVALID, f"the executor's signature is not valid: {reason}"
    )
