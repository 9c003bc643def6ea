"""Event sources with the real command: plan, apply, look, explain a request, change, delete."""

import hashlib
import hmac
import itertools
import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

pytestmark = pytest.mark.slow

_NUMBERS = itertools.count()
SECRET = "s3cret-of-the-hook"


def manifest(name: str, verify: Any, **spec: Any) -> str:
    head = {"apiVersion": "activityctl/v1", "kind": "EventSource", "metadata": {"name": name}}
    return yaml.safe_dump({**head, "spec": {"verify": verify, **spec}}, sort_keys=False)


def saved(path: Path, body: str, at: int, *, forged: bool = False) -> None:
    key = "other" if forged else SECRET
    mac = hmac.new(key.encode(), f"{at}.{body}".encode(), hashlib.sha256).hexdigest()
    head = f"POST /v1/sources/x HTTP/1.1\nContent-Type: application/json\nSig: t={at},v1={mac}\n"
    path.write_text(f"{head}Content-Length: {len(body)}\n\n{body}\n")


def sent(path: Path) -> tuple[dict[str, str], str]:
    """Return the headers and the body of a saved request."""
    head, _, body = path.read_text().strip().partition("\n\n")
    pairs = (line.split(": ", 1) for line in head.splitlines()[1:])
    return dict(pairs), body


class Files:
    """A folder with two sources, a definition and a subscription, with unique names."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.tag = tag = f"src{next(_NUMBERS)}"
        self.name, self.secret = f"{tag}-pay", f"{tag}-hook"
        self.folder = Path(shell.folder)
        self.event = {
            "id": "${ request.body.id }",
            "type": f"{tag}.paid",
            "subject": "${ request.body.of }",
        }
        self.write(**self.event)
        (self.folder / "open.yaml").write_text(manifest(f"{tag}-open", {"none": {}}))
        head = {"apiVersion": "activityctl/v1", "metadata": {"name": f"{tag}-paid"}}
        spec = {
            "triggers": [{"name": "paid", "event": {"type": f"{tag}.paid"}}],
            "tasks": [{"name": "one", "command": {"argv": ["true"]}}],
        }
        documents = [
            {**head, "kind": "ActivityDefinition", "spec": spec},
            {**head, "kind": "Subscription", "spec": {"activity": f"{tag}-paid"}},
        ]
        (self.folder / "paid.yaml").write_text(yaml.safe_dump_all(documents))

    def write(self, **event: Any) -> None:
        signed = {
            "header": "sig",
            "fields": {"timestamp": "t", "signature": "v1"},
            "signed": "{timestamp}.{body}",
            "secret": {"secretRef": self.secret},
        }
        text = manifest(self.name, {"hmac": signed}, event=event, description="Payments.")
        (self.folder / "source.yaml").write_text(text)

    def gitops(self, command: str, *arguments: str) -> Any:
        return self.shell(command, "-f", ".", "--applyset", self.tag, *arguments).stdout


def test_an_event_source_is_planned_applied_changed_and_deleted(shell: Any):
    files = Files(shell)
    tag, name, secret = files.tag, files.name, files.secret
    valid = shell("validate", "-f", ".").stderr
    assert "accepts requests of anybody, because verify is none" in valid
    plan = files.gitops("plan")
    assert f"+ eventsource/{name} created" in plan
    assert "requests of ANYBODY, because verify is none:" in plan
    assert f"/v1/sources/{tag}-open" in plan
    assert f"activityctl secrets set {secret}  (eventsource/{name})" in plan
    applied = shell.json("apply", "-f", ".", "--applyset", tag)
    assert {change["action"] for change in applied["changes"]} == {"created"}
    again = shell.json("plan", "-f", ".", "--applyset", tag)
    assert {change["action"] for change in again["changes"]} == {"unchanged"}
    assert again["openSources"] == []

    assert "hmac sha256 in sig, at most 5m old" in shell("get", "sources", "-o", "wide").stdout
    (row,) = (row for row in shell("get", "sources").stdout.splitlines() if name in row)
    assert row.split()[:3] == [name, "hmac", "0"]
    assert shell("get", "src", name, "-o", "name").stdout == f"source/{name}\n"
    described = shell.json("describe", f"source/{name}")
    assert described["kind"] == "source"
    assert described["secrets"] == [{"name": secret, "isFoundHere": False}]
    assert described["refusedRequests"] == []
    exported = yaml.safe_load(shell("export", "source", name).stdout)
    assert exported["spec"]["event"] == files.event
    shell("diff", "-f", ".")
    files.write(**{**files.event, "type": "other"})
    changed = files.gitops("plan")
    assert f"~ eventsource/{name} configured" in changed
    assert f'spec.event.type: "{tag}.paid" -> "other"' in changed
    files.gitops("apply")
    shell("rollback", "source", name)
    assert f"{tag}.paid" in shell("export", f"source/{name}").stdout
    assert "rollback" in shell("history", "source", name).stdout
    shell("delete", "source", name, "--yes")
    assert f'source "{name}" not found' in shell("describe", "source", name, code=4).stderr
    pruned = shell.json("apply", "-f", "paid.yaml", "--applyset", tag, "--prune", "--yes")
    assert [(change["kind"], change["action"]) for change in pruned["changes"]][-1] == (
        "EventSource",
        "deleted",
    )


def test_a_saved_request_is_explained(shell: Any):
    files = Files(shell)
    tag, name, secret, folder = files.tag, files.name, files.secret, files.folder
    shell("apply", "-f", ".")
    request = folder / "request.http"
    saved(request, '{"id": 7, "of": "o-1"}', int(time.time()))
    ask = ("explain", "event", "-f", "request.http", "--source", name)
    missing = shell(*ask).stdout
    assert f"not verified: no value of secret {secret} is here" in missing
    shell("secrets", "set", secret, stdin=SECRET)
    text = shell(*ask).stdout
    assert f"✓ verified: hmac sha256 in sig, at most 5m old, secret {secret}" in text
    assert f"{tag}-paid/paid" in text
    found = shell.json(*ask)
    assert (found["verified"], found["outcome"], found["status"]) == (True, "events", 200)
    assert found["events"][0]["id"] == "7"
    assert SECRET not in json.dumps(found)
    address = next(
        part["address"] for part in shell.json("status")["components"] if part["name"] == "api"
    )
    headers, body = sent(request)
    answer = httpx.post(f"{address}/v1/sources/{name}", content=body, headers=headers, timeout=60)
    assert answer.json()["summary"]["accepted"] == 1
    assert shell.json("describe", "source", name)["accepted"] == 1
    saved(request, '{"id": 7, "of": "o-1"}', int(time.time()) - 86_400)
    old = shell.json(*ask)
    assert (old["verified"], old["code"]) == (False, "timestamp_outside_tolerance")
    assert len(old["events"]) == 1
    saved(request, "{}", int(time.time()))
    unmapped = shell.json(*ask)
    assert (unmapped["code"], unmapped["status"]) == ("mapping_failed", 400)
    saved(request, "{}", int(time.time()), forged=True)
    piped = shell(*ask[:3], "-", *ask[4:], stdin=request.read_text())
    assert "not verified: the signature in header sig does not fit the request" in piped.stdout
    strange = shell("explain", "event", "-f", "paid.yaml", "--source", name, code=3)
    assert "paid.yaml:1: is no HTTP request line" in strange.stderr
    assert "nobody" in shell(*ask[:-1], "nobody", code=4).stderr
