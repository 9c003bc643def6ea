"""The client of a signer: a worker asks it over its socket, and never sees a key."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final

from activityctl.adapters.signer import wire
from activityctl.domain.chain.keys import KeyKind
from activityctl.errors import UnreachableError, reason_of
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import ExecutionDraft, SignedTransaction, TransactionDraft

_CONNECT_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 20.0
_PAUSE: Final = 0.2


async def _no_token() -> str:
    """Return no token: a socket of this machine needs none."""
    return ""


@frozen_dataclass
class SignerPlace:
    """Where a signer listens: a socket of this machine, or a port of another one."""

    path: Path | None = None
    host: str = ""
    port: int = 0
    token: Callable[[], Awaitable[str]] = _no_token
    """Read for each request, so that a token can be replaced."""
    tls: ssl.SSLContext | None = None
    patience: float = 0.0
    """For how many seconds a signer that does not run is waited for."""
    mark: Path | None = None
    """A file that is made when none runs; the local daemon then starts one."""

    @property
    def shown(self) -> str:
        """The place for messages."""
        return str(self.path) if self.path is not None else f"{self.host}:{self.port}"


class RemoteSigner:
    """Implements the Signer port; each request has a connection of its own."""

    def __init__(self, place: SignerPlace) -> None:
        self._place = place

    async def addresses(self, names: Collection[str], kind: KeyKind) -> Mapping[str, str]:
        """Return the addresses of those keys that exist and have this kind, by name."""
        found = await self._ask(wire.ADDRESSES, {"names": sorted(names), "kind": kind.value})
        return {str(name): str(address) for name, address in found.items()}

    async def sign_execution(self, draft: ExecutionDraft) -> str:
        """Return the executor's signature of the call."""
        return str(await self._ask(wire.SIGN_EXECUTION, wire.execution_form(draft)))

    async def count_call(self, hook_key: str) -> None:
        """Have the call of a trigger judged and counted."""
        await self._ask(wire.COUNT_CALL, {"hook_key": hook_key})

    async def sign_transaction(self, draft: TransactionDraft) -> SignedTransaction:
        """Return the signed transaction."""
        return wire.read_signed(
            await self._ask(wire.SIGN_TRANSACTION, wire.transaction_form(draft))
        )

    async def _ask(self, method: str, params: Mapping[str, Any]) -> Any:
        request = {"method": method, "params": params, "token": await self._place.token()}
        try:
            answer = await self._exchange(wire.to_line(request))
        except (OSError, ValueError, EOFError, asyncio.LimitOverrunError) as error:
            raise self._unreachable(error) from error
        if "error" in answer:
            raise wire.read_error(answer["error"])
        return answer["result"]

    async def _exchange(self, line: bytes) -> dict[str, Any]:
        reader, writer = await self._open_patiently()
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                writer.write(line)
                await writer.drain()
                return wire.of_line(await reader.readuntil(b"\n"))
        finally:
            writer.close()

    async def _open_patiently(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        deadline = time.monotonic() + self._place.patience
        while True:
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    return await self._open()
            except (FileNotFoundError, ConnectionError):
                if self._place.mark is not None:
                    await asyncio.to_thread(self._place.mark.touch, 0o600)
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_PAUSE)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        place = self._place
        if place.path is not None:
            return await asyncio.open_unix_connection(str(place.path), limit=wire.LONGEST_LINE)
        return await asyncio.open_connection(
            place.host, place.port, ssl=place.tls, limit=wire.LONGEST_LINE
        )

    def _unreachable(self, error: Exception) -> UnreachableError:
        is_told = isinstance(error, OSError) and error.errno
        reason = reason_of(error) if is_told else str(error).lower() or "no answer in time"
        return UnreachableError(
            f"the signer at {self._place.shown} does not answer: {reason}",
            hint="activityctl status",
        )
