"""What stands for the chain in tests of hooks."""

from dataclasses import dataclass

from activityctl.domain.chain.hook_outcome import HookError
from activityctl.domain.chain.hook_response import ExecutableTask
from activityctl.domain.chain.policy import Refusal
from activityctl.executors.executor_signatures import HookParams, SignatureRefusedError
from activityctl.executors.relayed_body import RelayedBody


@dataclass
class Signed:
    """Takes every signature of an executor, or refuses all; the real one asks a chain."""

    refusal: SignatureRefusedError | None = None

    async def checked(self, body: RelayedBody, params: HookParams, task: ExecutableTask) -> str:
        assert (params.chain_id, params.executor) == (8453, body.executor_address)
        if self.refusal is not None:
            raise self.refusal
        return task.executor_signature

    async def counted(self, hook_key: str) -> Refusal | None:
        assert hook_key == "service"
        return Refusal(HookError.POLICY_REFUSED, "the window is full")
