"""Another program listens on the remembered port of a killed daemon and asks for the password."""

import json
import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.forked import run_command

PASSWORD = "the-password-of-the-database"
_CLEAR_TEXT = b"R" + struct.pack("!ii", 8, 3)
_MD5 = b"R" + struct.pack("!ii", 12, 5) + b"salt"
_WELCOME = b"R" + struct.pack("!ii", 8, 0)


class StrangePostgres:
    """Answers each connection with one request for a login, and notes what it gets."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.got = b""
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            with link:
                link.settimeout(5)
                self._talk(link)

    def _talk(self, link: socket.socket) -> None:
        try:
            first = link.recv(4096)
            while len(first) == 8:  # asks for TLS or GSS
                link.sendall(b"N")
                first = link.recv(4096)
            link.sendall(self.request)
            while part := link.recv(4096):
                self.got += part
        except OSError:
            return


@pytest.fixture(params=[_CLEAR_TEXT, _MD5, _WELCOME], ids=["clear text", "md5", "none"])
def strange(request: pytest.FixtureRequest) -> Iterator[StrangePostgres]:
    server = StrangePostgres(request.param)
    yield server
    server.listener.close()


@pytest.mark.parametrize("command", [("get", "runs"), ("worker", "--migrate"), ("doctor",)])
def test_a_server_that_is_not_ours_gets_no_password(
    tmp_path: Path, strange: StrangePostgres, command: tuple[str, ...]
):
    """`daemon.json` has the addresses as a daemon leaves them that was ended by kill -9."""
    url = f"postgresql://activityctl_owner:{PASSWORD}@127.0.0.1:{strange.port}/activityctl"
    addresses = {"database_url": url, "temporal_address": "127.0.0.1:9"}
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "daemon.json").write_text(json.dumps({"addresses": addresses}))
    environment = {**os.environ, "ACTIVITYCTL_HOME": str(home)}
    if command == ("doctor",):  # it does not ask the servers of a daemon that is not running
        environment |= {"ACTIVITYCTL_DATABASE_URL": url}
    done = run_command(*command, environment=environment)
    assert done.returncode != 0
    assert strange.connections
    assert PASSWORD.encode() not in strange.got
    assert b"md5" not in strange.got
    assert b"select" not in strange.got.lower()
    assert PASSWORD not in done.stdout + done.stderr
