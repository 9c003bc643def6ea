"""The API of the real daemon: what it answers is what the command line prints."""

import re
import signal
import socket
import ssl
from pathlib import Path
from typing import Any

import httpx

from support.certificates import make_certificate

MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: door-greeting}
spec:
  triggers: [{name: yearly, cron: {schedule: "0 3 1 1 *"}}]
  tasks: [{name: greet, command: {argv: [echo, "hello ${ trigger.payload.name }"]}}]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: door-greeting, labels: {team: door}}
spec: {activity: door-greeting}
"""


def test_a_run_by_http_is_that_of_the_command_line(shell: Any):
    (shell.folder / "greeting.yaml").write_text(MANIFEST, "utf-8")
    shell("apply", "-f", "greeting.yaml")
    components = {part["name"]: part for part in shell.json("status")["components"]}
    token = (shell.home / "api-token").read_text("ascii").strip()
    with httpx.Client(
        base_url=f"{components['api']['address']}/v1",
        headers={"Authorization": f"Bearer {token}"},
        timeout=90,
        trust_env=False,
    ) as client:
        ended = client.post(
            "/subscriptions/door-greeting/trigger?wait=60", json={"payload": {"name": "Ada"}}
        ).json()
        assert ended["status"] == "succeeded"
        listed = client.get("/runs?subscription=door-greeting").json()
        assert listed == shell.json("get", "runs", "-s", "door-greeting")
        assert listed["items"][0] == ended
        tasks = client.get(f"/tasks?run={ended['id']}").json()
        assert tasks == shell.json("get", "tasks", "--run", ended["id"])
        assert tasks["items"][0]["output"]["stdout"] == "hello Ada\n"
        run = client.get(f"/runs/{ended['id']}").json()
        assert run == shell.json("describe", "run", ended["id"])
        log = client.get(f"/runs/{ended['id']}/logs").json()
        assert log["items"] == shell.json("logs", ended["id"])["items"]
        upcoming = client.get("/subscriptions/door-greeting/next?limit=2").json()["items"]
        assert upcoming == shell.json("next", "door-greeting", "-n", "2")["items"]
        missing = client.get("/subscriptions/door-nobody")
        assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


def test_serve_speaks_tls_and_reads_a_renewed_certificate_on_sighup(shell: Any):
    certificate, key = make_certificate(shell.folder)
    alone = shell("serve", "--certificate", str(certificate), code=2)
    assert "add --private-key FILE" in alone.stderr
    key.chmod(0o644)
    open_key = shell("serve", "--certificate", "api.pem", "--private-key", "api.key", code=2)
    assert "can be read or written by others: its mode is 0644" in open_key.stderr
    assert "hint: chmod 600 api.key" in open_key.stderr
    proxy = shell("serve", "--behind-proxy", "proxy.example", code=2)
    assert "--behind-proxy" in proxy.stderr
    key.chmod(0o600)
    options = ("--certificate", "api.pem", "--private-key", "api.key", "--behind-proxy", "10.0.0.5")
    process = shell.start("serve", "--port", "0", *options)
    try:
        assert process.stderr is not None
        found = re.search(r"listening at https://127\.0\.0\.1:(\d+)$", process.stderr.readline())
        assert found is not None
        port = int(found[1])
        first = read_over_tls(port, certificate)
        make_certificate(shell.folder)
        process.send_signal(signal.SIGHUP)
        assert "the certificate was read" in process.stderr.readline()
        assert read_over_tls(port, certificate) != first
    finally:
        process.terminate()
        process.communicate()
    assert process.returncode == 0


def test_a_server_that_is_stopped_while_it_starts_ends_well(shell: Any):
    process = shell.start("serve", "--port", "0")
    try:
        assert process.stderr is not None
        assert "listening at http://" in process.stderr.readline()  # before it serves
    finally:
        process.terminate()
        process.communicate()
    assert process.returncode == 0


def read_over_tls(port: int, certificate: Path) -> bytes | None:
    """Ask for the health with this certificate as the only one that is trusted; return it."""
    context = ssl.create_default_context(cafile=str(certificate))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
        return connection.getpeercert(binary_form=True)
