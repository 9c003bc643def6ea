"""Tasks never reach a port of the daemon, also not one that a server opened at random."""

import json
import os
import signal
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from support.prepared_home import prepare
from support.waiting import until

MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: knock}
spec:
  triggers: [{name: knock, event: {type: knock}}]
  tasks:
    - name: one
      http: {url: "http://127.0.0.1:${ string(event.data.port) }/"}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: knock}
spec: {activity: knock}
"""
REFUSED = "127.0.0.1 port {0} is a port of the daemon itself; tasks cannot call"


class Answering(BaseHTTPRequestHandler):
    """A server of the machine that is not the daemon's."""

    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def other() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Answering)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture
def own(shell_at: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A daemon of this module, whose Temporal its test kills."""
    shell = shell_at(prepare(tmp_path_factory.mktemp("home")), tmp_path_factory.mktemp("work"))
    (shell.folder / "knock.yaml").write_text(MANIFEST)
    shell("up", "-d", "-f", "knock.yaml")
    yield shell
    shell("down")


def pids(shell: Any) -> dict[str, int]:
    return {part["name"]: part["pid"] for part in shell.json("status", code=None)["components"]}


def listening(number: int) -> set[int]:
    found = psutil.Process(number).net_connections("tcp")
    return {each.laddr.port for each in found if each.status == psutil.CONN_LISTEN}


def knock(shell: Any, ports: Iterable[int], name: str) -> dict[int, tuple[int, str]]:
    """Let a task call each port; return its attempts and its error by port."""
    envelope = {"specversion": "1.0", "source": f"/{name}", "type": "knock"}
    events = [{**envelope, "id": str(port), "data": {"port": port}} for port in ports]
    (shell.folder / "events.jsonl").write_text("\n".join(map(json.dumps, events)))
    shell("emit", "events.jsonl", "--wait", code=None)
    ids = [task["id"] for task in shell.json("get", "tasks", "-s", "knock")["items"]]
    tasks = [shell.json("describe", "task", number) for number in ids]
    return {
        urlsplit(task["input"]["url"]).port: (task["attempts"], task["error"] or "")
        for task in tasks
    }


def check(shell: Any, ports: Iterable[int], name: str, other: int) -> None:
    answers = knock(shell, [*ports, other], name)
    assert answers.pop(other) == (1, "")
    assert answers.keys() >= set(ports)
    for port in ports:
        attempts, error = answers[port]
        assert attempts == 1
        assert REFUSED.format(port) in error


def test_no_task_reaches_a_port_that_a_process_of_the_daemon_opened(own: Any, other: int):
    before = pids(own)
    stored = {*json.loads((own.home / "daemon.json").read_text())["ports"].values()}
    ports = listening(before["temporal"])
    assert len(ports - stored) >= 3, "Temporal opens more than the stored ports"
    check(own, ports | stored, "first", other)
    os.kill(before["temporal"], signal.SIGKILL)
    until(lambda: pids(own)["temporal"] not in {None, before["temporal"]})
    until(lambda: own("status", code=None).returncode == 0)
    after = pids(own)
    assert after["worker"] == before["worker"]
    new = listening(after["temporal"]) - ports
    assert len(new) >= 3, "Temporal opens others at each start"
    check(own, new, "second", other)
