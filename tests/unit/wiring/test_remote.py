"""The HTTP API of a server with TLS: its certificate is verified."""

import asyncio
import ssl
from pathlib import Path

import pytest

from activityctl import wiring
from activityctl.errors import UnreachableError, UsageError
from activityctl.settings import Settings
from support.certificates import make_certificate
from support.http_server import Server, answering


async def test_a_certificate_is_verified(tmp_path: Path):
    certificate, key = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = Server(answering(b'{"items": []}'))
    listener = await asyncio.start_server(server.talk, "127.0.0.1", 0, ssl=context)
    port = listener.sockets[0].getsockname()[1]

    async def asked(host: str, trusted: Path | None) -> object:
        settings = Settings(
            tmp_path,
            server=f"https://{host}:{port}",
            server_certificate=None if trusted is None else str(trusted),
            uses_local_daemon=False,
        )
        async with wiring.open_remote_ports(settings) as ports:
            return await ports.api.get("/v1/runs")

    try:
        assert await asked("localhost", certificate) == {"items": []}
        for host, trusted in (("localhost", None), ("127.0.0.1", certificate)):
            with pytest.raises(UnreachableError, match="its certificate is not valid"):
                await asked(host, trusted)
        assert len(server.requests) == 1
        with pytest.raises(UsageError, match="server_certificate"):
            await asked("localhost", tmp_path / "absent.pem")
    finally:
        listener.close()
        for talk in server.talks:
            talk.cancel()
        await asyncio.gather(*server.talks, return_exceptions=True)
