"""The state of a subscription is changed and recorded; lists are watched, sorted and shaped."""

import json
from typing import Any

MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: counting}
spec:
  params: {type: object, properties: {wait: {type: string, default: 0s}}}
  tasks:
    - {name: rest, wait: {for: "${ params.wait }"}}
  state: {count: "${ state.count + 1 }"}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: counting, labels: {team: counting}}
spec: {activity: counting}
"""


def test_a_state_is_changed_recorded_and_read_by_the_next_run(shell: Any):
    (shell.folder / "counting.yaml").write_text(MANIFEST)
    shell("apply", "-f", "counting.yaml")
    changed = shell("state", "set", "counting", "count=41", "region=eu", 'last={"id": 7}')
    assert "state.last.id: (none) -> 7" in changed.stderr
    shell("trigger", "counting", "--wait")
    assert shell.json("state", "show", "counting") == {"count": 42}
    (shell.folder / "state.json").write_text('{"count": 1, "b": true}')
    shell("state", "set", "counting", "-f", "state.json")
    shell("state", "reset", "counting", code=1)
    would = shell.json("state", "reset", "counting", "--dry-run")["fields"]
    assert would == [{"path": "state.b", "old": True}, {"path": "state.count", "old": 1}]
    assert "unchanged" in shell("state", "set", "counting", "count=1").stdout
    shell("state", "reset", "counting", "b")
    shell("state", "reset", "counting", "b", code=4)
    assert shell("state", "show", "counting").stdout == "count: 1\n"
    newest, *_ = shell.json("history", "sub", "counting")["items"]
    assert (newest["command"], newest["action"]) == ("state reset", "state")
    assert newest["fields"] == [{"path": "state.b", "old": True}]

    shell("trigger", "counting", "--wait")
    listed = shell(
        *("get", "runs", "-l", "team=counting", "--sort-by", "dueAt"),
        *("-o", "custom-columns=NAME:.subscription,OK:.status,GONE:.replayOf"),
    )
    assert [line.split() for line in listed.stdout.splitlines()] == [
        ["NAME", "OK", "GONE"],
        *[["counting", "succeeded", "-"]] * 2,
    ]
    assert "fields: id" in shell("get", "runs", "--sort-by", "statsu", code=2).stderr
    (shell.folder / "state.json").write_text('{"c": 2}')  # it has no count any more
    assert "state.count: " in shell("state", "set", "counting", "-f", "state.json", code=1).stderr
    shell("state", "set", "counting", "-f", "state.json", "--yes")
    assert shell.json("state", "show", "counting") == {"c": 2}
    assert "hint: -f -" in shell("state", "set", "counting", '{"c": 3}', code=2).stderr
    shell("get", "runs", "--watch", "-o", "json", code=2)
    watching = shell.start("get", "subs", "-l", "team=counting", "--watch", "-o", "jsonl")
    try:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["status"] == "active"
        shell("pause", "counting")
        assert json.loads(watching.stdout.readline())["status"] == "paused"
    finally:
        watching.terminate()
        watching.communicate(timeout=60)
    shell("delete", "sub", "counting", "--yes")
