"""Answers signing requests over a socket; who asks has to prove who it is."""

import asyncio
import contextlib
import hmac
import logging
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from dataclasses import field
from pathlib import Path
from typing import Any, Final

from activityctl.adapters.signer import wire
from activityctl.domain.chain.keys import KeyKind
from activityctl.errors import ActivityctlError, InvalidInputError, NotAllowedError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Signer

_LOG = logging.getLogger(__name__)
_REQUEST_SECONDS: Final = 10.0
_PEER_OF_DARWIN: Final = 1  # LOCAL_PEERCRED of sys/un.h, at level SOL_LOCAL, which is 0


@frozen_dataclass
class TlsPort:
    """Where a signer listens for workers of other machines."""

    host: str
    port: int
    token: str = field(repr=False)
    context: ssl.SSLContext


class SignerServer:
    """Passes requests on to a signer."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    @contextlib.asynccontextmanager
    async def on_socket(self, path: Path) -> AsyncIterator[None]:
        """Listen on a socket that only this account can open, until the block ends.

        Raises NotAllowedError if something else than a socket of ours is there.
        """
        _remove_old(path)
        before = os.umask(0o177)
        try:
            server = await asyncio.start_unix_server(
                self._talk_to_neighbour, str(path), limit=wire.LONGEST_LINE
            )
        finally:
            os.umask(before)
        try:
            async with server:
                yield
        finally:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()  # noqa: ASYNC240  # one call of the system

    @contextlib.asynccontextmanager
    async def on_port(self, place: TlsPort) -> AsyncIterator[int]:
        """Listen on a port with TLS until the block ends; return the port."""

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._talk(reader, writer, place.token)

        server = await asyncio.start_server(
            talk, place.host, place.port, ssl=place.context, limit=wire.LONGEST_LINE
        )
        async with server:
            yield server.sockets[0].getsockname()[1]

    async def _talk_to_neighbour(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        peer = peer_uid(writer.get_extra_info("socket"))
        if peer != os.geteuid():
            _LOG.warning("a process of another account was refused", extra={"uid": peer})
            writer.close()
            return
        await self._talk(reader, writer, None)

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str | None
    ) -> None:
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                line = await reader.readuntil(b"\n")
            writer.write(wire.to_line(await self._answer(line, token)))
            await writer.drain()
        except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError):
            pass  # who asks went away, or said nothing that can be read
        finally:
            writer.close()

    async def _answer(self, line: bytes, token: str | None) -> dict[str, Any]:
        try:
            return {"result": await self._carry_out(wire.of_line(line), token)}
        except ActivityctlError as error:
            _LOG.warning("refused: %s", error.message)
            return {"error": wire.error_form(error)}
        except (ValueError, TypeError, KeyError, AttributeError):
            unread = InvalidInputError("the request of a signature cannot be read")
            return {"error": wire.error_form(unread)}
        except Exception:  # noqa: BLE001  # the next request is answered all the same
            _LOG.exception("a request failed")
            return {"error": wire.error_form(ActivityctlError("the signer failed; see its log"))}

    async def _carry_out(self, request: dict[str, Any], token: str | None) -> Any:
        if token is not None and not _is_same(token, request.get("token")):
            raise NotAllowedError("the token of the signer is wrong")
        params = request["params"]
        match request["method"]:
            case wire.ADDRESSES:
                names = [str(name) for name in params["names"]]
                return dict(await self._signer.addresses(names, KeyKind(params["kind"])))
            case wire.COUNT_CALL:
                await self._signer.count_call(str(params["hook_key"]))
                return None
            case wire.SIGN_EXECUTION:
                return await self._signer.sign_execution(wire.read_execution(params))
            case wire.SIGN_TRANSACTION:
                signed = await self._signer.sign_transaction(wire.read_transaction(params))
                return wire.signed_form(signed)
            case _:
                raise ValueError


def peer_uid(connection: socket.socket) -> int:
    """Return the account of the process at the other end of a local socket."""
    option: int | None = getattr(socket, "SO_PEERCRED", None)
    if option is not None:  # Linux: struct ucred
        found = connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i"))
        return int(struct.unpack("3i", found)[1])
    credentials = connection.getsockopt(0, _PEER_OF_DARWIN, 76)  # struct xucred
    return int(struct.unpack_from("2I", credentials)[1])


def _is_same(token: str, given: object) -> bool:
    text = given if isinstance(given, str) else ""
    return hmac.compare_digest(token.encode(), text.encode("utf-8", "replace"))


def _remove_old(path: Path) -> None:
    """Remove the socket that a signer which was killed has left."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if found.st_uid != os.geteuid() or not path.is_socket():
        raise NotAllowedError(
            f"{path} is not a socket of this account", hint=f"look at it, then: rm {path}"
        )
    path.unlink()
