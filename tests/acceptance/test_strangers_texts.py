"""Texts of strangers in our output are neither lines of their own nor commands of a CI."""

import json

import yaml

DEFINITION = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: strange}
spec:
  triggers: [{name: e, event: {type: strange.sent}}]
  tasks:
    - name: say
      command: {argv: [sh, -c, 'printf "%%s" "$TEXT" >&2; exit 3'], env: {TEXT: "${ %s }"}}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: strange}
spec: {activity: strange}
"""
COMMAND = "x\n::set-output name=a::b\n##[error]c"
PARTS = ("\n::", "\n  ::", "##[")


def test_no_output_has_a_strangers_line_or_command(shell):
    definition = DEFINITION % "event == null ? 'none' : string(event.data.text)"
    (shell.folder / "a.yaml").write_text(definition)
    shell("apply", "-f", "a.yaml")
    data = json.dumps({"text": COMMAND})
    sent = ("--type", "strange.sent", "--source", "/tests", "--data", data)
    waited = shell("emit", *sent, "--id", "::warning::w", "--wait", code=1)
    runs = shell.json("get", "runs")["items"]
    (run,) = [found for found in runs if found["subscription"] == "strange"]
    outputs = [
        waited,
        shell("wait", run["id"], code=1),
        shell("get", "events"),
        shell("get", "runs"),
        shell("get", "tasks"),
        shell("logs", "strange"),
        shell("describe", "run", run["id"], "-o", "yaml"),
        shell("describe", "event", "::warning::w"),
        shell("describe", "run", run["id"], "-o", "json"),
        shell("get", "events", "-o", "jsonl"),
        shell("describe", "run", run["id"]),
    ]
    for done in outputs:
        shown = f"\n{done.stdout}\n{done.stderr}"
        assert not any(part in shown for part in PARTS), shown
    assert "set-output" in outputs[1].stdout
    described = json.loads(outputs[8].stdout)
    assert "##[error]c" in described["tasks"][0]["error"]
    assert yaml.safe_load(outputs[6].stdout)["tasks"] == described["tasks"]
