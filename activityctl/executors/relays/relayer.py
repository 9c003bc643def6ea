"""Carries out executables, by transactions of our own relayers or by a relay service.

All that is known is in the ledger, so each attempt goes on where the one before has ended.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from activityctl.domain.chain.hook_outcome import HookError, HookOutcome, failed
from activityctl.errors import NotFoundError, TaskError, UnreachableError
from activityctl.executors.relays.passage import NotYetError, Passage, RelayPorts
from activityctl.executors.relays.preparing import Preparing
from activityctl.executors.relays.service import ServiceRelay
from activityctl.executors.relays.trial import RefusedError
from activityctl.ports import CallRefusedError, HookSender, RelayRequest

_POLL_SECONDS: Final = 2.0


class Relayer:
    """Implements the Relay port."""

    def __init__(
        self,
        ports: RelayPorts,
        client: HookSender,
        *,
        poll_seconds: float = _POLL_SECONDS,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ports = ports
        self._poll_seconds = poll_seconds
        self._clock = clock
        self._services = ServiceRelay(client, ports.ledger, clock, poll_seconds)

    async def has_begun(self, hook_key: str) -> bool:
        """Return whether something of this trigger may have been sent already."""
        ledger = self._ports.ledger
        if await ledger.transactions(hook_key):
            return True
        return await ledger.task(hook_key) is not None

    async def execute(self, request: RelayRequest) -> HookOutcome:
        """Return what became of the call; go on with what was signed before, if anything was."""
        if request.service is not None:
            return await self._services.execute(request, request.service)
        if request.terms is None:
            return failed(
                HookError.RELAYER_MISSING,
                "the task has no relayer: add plugin and relay to it",
            )
        try:
            nodes = await self._ports.chains.nodes(request.chain_id)
        except NotFoundError as error:
            message = f"the nodes of chain {request.chain_id} are not known on this worker"
            hint = f": {error.hint}" if error.hint else ""
            return failed(HookError.RELAYER_MISSING, message + hint)
        passage = Passage(request, request.terms, nodes, self._ports, self._clock)
        return await self._until_it_ends(passage, time.monotonic() + request.seconds)

    async def _until_it_ends(self, passage: Passage, deadline: float) -> HookOutcome:
        while True:
            trouble: NotYetError | None = None
            try:
                if (outcome := await self._go_on(passage)) is not None:
                    return outcome
            except RefusedError as refused:
                return refused.outcome
            except NotYetError as error:
                trouble = error
            except UnreachableError as error:
                trouble = NotYetError("unreachable", error.message)
            except CallRefusedError as error:
                trouble = NotYetError("chain_call_refused", error.message)
            if time.monotonic() + self._poll_seconds > deadline:
                raise await _unfinished(passage, trouble)
            await asyncio.sleep(self._poll_seconds)

    async def _go_on(self, passage: Passage) -> HookOutcome | None:
        """Take the next step; return the outcome if it was the last."""
        versions = await self._ports.ledger.transactions(passage.request.key)
        if versions:
            return await passage.advance(versions)
        first = await Preparing(passage).sign()
        await passage.send([first])
        return None


async def _unfinished(passage: Passage, trouble: NotYetError | None) -> TaskError:
    """Return the failure of an attempt whose time is up; the next one goes on from here."""
    if trouble is not None:
        return TaskError(trouble.message, code=trouble.reason)
    known = passage.versions
    if not known:
        return TaskError("nothing was sent in time", code="relay_pending")
    newest = known[-1]
    where = "waits for a block"
    for version in known:
        if version.block_number is not None:
            newest, where = version, f"is in block {version.block_number}, not deep enough yet"
    message = f"transaction {newest.hash} (nonce {newest.nonce} of {newest.relayer}) {where}"
    return TaskError(message, code="relay_pending")
