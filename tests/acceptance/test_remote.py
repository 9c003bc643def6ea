"""The same commands by Postgres and by HTTP: the same bytes and the same exit codes."""

import json
import re
import subprocess
from typing import Any

from support.told import Told, outcome, whole

MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: remote-greeting}
spec:
  triggers:
    - {name: yearly, cron: {schedule: "0 3 1 1 *"}}
    - {name: rung, event: {type: remote.rung}}
  tasks:
    - name: greet
      when: trigger.name != "manual" || has(trigger.payload.name)
      command: {argv: [echo, "hello ${ trigger.name }"]}
---
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: remote-asking}
spec:
  triggers: [{name: yearly, cron: {schedule: "0 4 1 1 *"}}]
  tasks: [{name: ask, manual: {assignee: nobody, instructions: wait}}]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: remote-door, labels: {remote: "yes"}}
spec: {activity: remote-greeting}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: remote-asker, labels: {remote: "yes"}}
spec: {activity: remote-asking}
---
apiVersion: activityctl/v1
kind: EventSource
metadata: {name: remote-hook}
spec:
  verify: {none: {}}
  event:
    {id: "${ request.body.id }", type: "remote.${ request.body.kind }", source: /hook, time: TIME}
"""
SAVED = """\
POST /v1/sources/remote-hook HTTP/1.1
Host: here
Content-Type: application/json

{"id": "1", "kind": "rung"}
"""
TIME = "2026-11-01T00:00:00Z"
LOOKING = (
    "get subs -l remote=yes",
    "get runs -s remote-door -o json",
    "get runs -s remote-door --status nonsense",
    "get def/remote-greeting -o yaml",
    "get events --type remote.* --limit 1",
    "get runs remote-nobody -o json",
    "get runs -s remote-door --sort-by -took -o custom-columns=A:.trigger,B:.status",
    "describe sub remote-door -o json",
    "describe sub remote-door --last -o json",
    "describe def remote-greeting -o json",
    "describe sched remote-door/yearly -o json",
    "describe sched remote-door/nonsense -o json",
    "logs remote-door --tail 2",
    "logs remote-door remote-asker -o jsonl",
    "logs -l remote=yes --level warning",
    "logs remote-nobody",
    "next remote-door -n 3",
    "next remote-door --trigger nonsense",
    "next remote-asker -o json --until +800d",
    "trigger remote-door --key same --wait",
    "trigger remote-door --key= --no-wait",
    "trigger -l remote=yes --dry-run",
    "resume remote-door remote-asker",
    "cancel -s remote-door --dry-run",
    "emit --type remote.rung --id first",
    "emit --type remote.rung --id first --source=",
    "emit --type remote.rung --id first --data 17",
    "emit --type remote.rung --id dry --time 2026-11-01T00:00:00Z --dry-run",
    "emit --type remote.rung --id dry --time 2026-11-01T00:00:00Z --dry-run -o json",
    "emit many.jsonl --dry-run -o wide",
    "emit many.jsonl --dry-run",
    "explain event first",
    "explain event nobody",
    "explain event first -s remote-door -o json",
    "explain event -f one.json -o wide -s remote-door",
    "explain event -f many.jsonl",
    "explain event -f saved.http --source remote-hook",
    "explain event -f saved.http --source remote-hook -o json",
    "explain event -f saved.http --source nothing",
    "explain definition.spec.triggers.cron",
    "get relayers",
    "describe relayer nobody",
)
"""Commands that change nothing, or change it only the first time that they are called."""
ONCE = ("emit --type remote.rung --id first",)
"""Those of them whose second call says that it is one."""
ACTING = (
    "pause remote-asker --reason holidays",
    "pause remote-asker -o json",
    "resume -l remote=yes --yes",
    "trigger remote-asker --key {mode} --no-wait",
    "cancel -s remote-asker --yes",
    "emit --type remote.rung --id {mode} --wait",
    "emit --type remote.rung --id {mode} --data 1",
)
"""Commands that change something: called once in each mode, on the same state."""
NOT_REMOTE = ("up -d", "backup x", "top")


def test_commands_do_the_same_by_http(shell: Any):
    (shell.folder / "remote.yaml").write_text(MANIFEST.replace("TIME", f'"{TIME}"'), "utf-8")
    lines = [
        {"specversion": "1.0", "id": f"{number}", "source": "/a", "type": kind, "time": TIME}
        for number in range(25)
        for kind in ("remote.rung", "another")
    ]
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    (shell.folder / "many.jsonl").write_text(f"{text}{{}}\n", "utf-8")
    (shell.folder / "one.json").write_text(json.dumps(lines[0]), "utf-8")
    (shell.folder / "saved.http").write_text(SAVED, "utf-8")
    shell("apply", "-f", "remote.yaml")
    url = next(
        part["address"] for part in shell.json("status")["components"] if part["name"] == "api"
    )

    def by_http(words: str) -> subprocess.CompletedProcess[str]:
        return shell("--server", url, *words.split(), code=None)

    def directly(words: str) -> subprocess.CompletedProcess[str]:
        return shell(*words.split(), code=None)

    # Ids are computed of the keys, which have to differ; the texts are compared.
    acted = [outcome(directly(words.format(mode="mode-1")), "mode-1") for words in ACTING]
    for words, first in zip(ACTING, acted, strict=True):
        assert outcome(by_http(words.format(mode="mode-2")), "mode-2") == first, words
    for words in LOOKING:
        if words in ONCE:
            directly(words)
        first = directly(words)
        assert first.returncode != 70, first.stderr
        assert whole(by_http(words)) == whole(first), words
    for words in NOT_REMOTE:
        refused = by_http(words)
        assert (refused.returncode, refused.stdout) == (2, ""), words
        assert "does not work over HTTP\nhint: run it on a machine" in refused.stderr
    ours = by_http("status -o json")
    assert ours.returncode == 0
    assert '"name": "server"' in ours.stdout
    view, local = json.loads(ours.stdout), shell.json("status")
    assert view["components"][0]["version"] == shell.json("version")["version"]
    assert view["disk"]["state"] == local["disk"]["state"]
    assert view["lowRelayers"] == local["lowRelayers"]
    nobody = shell("--server", "http://127.0.0.1:1", "get", "runs", code=7)
    assert nobody.stderr.startswith("error: http://127.0.0.1:1 does not answer: ")


GITOPS = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: MODE-report}
spec:
  triggers: [{name: yearly, cron: {schedule: "0 4 1 1 *"}}]
  tasks: [{name: note, command: {argv: [echo, hi]}}]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: MODE-reporter}
spec: {activity: MODE-report}
"""
WRONG = """
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: MODE-wrong}
spec: {activity: MODE-nothing}
"""
STEPS = (
    "plan -f MODE.yaml",
    "diff -f MODE.yaml",
    "plan -f MODE.yaml -o markdown --detailed-exitcode",
    "plan -f MODE.yaml --out MODE.json",
    "apply MODE.json",
    "apply MODE.json",
    "apply -f MODE.yaml --applyset MODE -o json",
    "diff -f MODE.yaml",
    "apply -f MODE-wrong.yaml",
    "apply -f MODE.yaml --dry-run server",
    "export def MODE-report",
    "export cal MODE-nothing",
    "rollback def MODE-report --to 99",
    "delete def MODE-report --yes",
    "delete sub MODE-reporter",
    "delete sub MODE-reporter --yes -o json",
    "rollback sub MODE-reporter",
)
CHANGING = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z|\b[0-9a-f]{64}\b")


def test_manifests_are_applied_the_same_by_http(shell: Any):
    url = next(
        part["address"] for part in shell.json("status")["components"] if part["name"] == "api"
    )
    told: dict[str, list[Told]] = {"mode-1": [], "mode-2": []}
    for mode, options in (("mode-1", ()), ("mode-2", ("--server", url))):
        (shell.folder / f"{mode}.yaml").write_text(GITOPS.replace("MODE", mode), "utf-8")
        (shell.folder / f"{mode}-wrong.yaml").write_text(WRONG.replace("MODE", mode), "utf-8")
        for words in STEPS:
            done = shell(*options, *words.replace("MODE", mode).split(), code=None)
            code, out, err = outcome(done, mode)
            told[mode].append((code, CHANGING.sub("WHEN", out), err))
    for words, first, second in zip(STEPS, *told.values(), strict=True):
        assert second == first, words
    assert [code for code, _, _ in told["mode-1"]][:9] == [0, 1, 2, 0, 0, 5, 0, 0, 3]
    history = shell("--server", url, "history", "sub", "mode-2-reporter").stdout
    assert "root" not in history
    assert "local" in history
