"""Firings that were missed, and the first success after them, are told by runs and by events."""

import time
from typing import Any

from support.waiting import until

MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: watched, labels: {team: db}}
spec:
  triggers:
    - name: often
      interval: {every: 1s, misfire: {policy: skip}}
  tasks: [{name: work, value: done}]
  onMissed:
    - name: missed
      value: "${ string(size(trigger.payload.missed)) + ' of ' + string(trigger.payload.count) }"
    - {name: break, needs: [missed], command: {argv: ["false"]}}
  onRecovered:
    - {name: well, value: "${ trigger.payload }"}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: watched, labels: {tier: gold}}
spec: {activity: watched, paused: true}
---
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: tell-db}
spec:
  triggers:
    - name: trouble
      event:
        type: [activityctl.run.*, activityctl.subscription.paused]
        match: {data.labels.team: db}
        batch: {size: 1000, within: 1s}
  tasks: [{name: tell, value: "${ trigger.events.map(e, e.subject + ' ' + e.type) }"}]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: tell-db}
spec: {activity: tell-db}
"""


def test_misses_and_the_recovery_are_told_by_runs_of_their_own(shell: Any):
    (shell.folder / "watched.yaml").write_text(MANIFEST)
    shell("apply", "-f", "watched.yaml")
    time.sleep(3)  # what is due in a pause is missed if the resume catches up
    shell("resume", "watched", "--catch-up")
    until(lambda: shell.json("get", "runs", "-s", "watched", "--status", "missed")["items"])
    shell("trigger", "watched")
    shell("pause", "watched")

    def notices() -> dict[str, Any]:
        runs = shell.json("get", "runs", "-s", "watched", "--limit", "200")["items"]
        ended = [run for run in runs if run["trigger"].startswith("on") and run["endedAt"]]
        return {run["trigger"]: run for run in ended} if len(ended) > 1 else {}

    told = until(notices)
    missed, recovered = told["onMissed"], told["onRecovered"]
    tasks = {
        task["name"]: task
        for run in (missed, recovered)
        for task in shell.json("get", "tasks", "--run", run["id"])["items"]
    }
    count = int(tasks["missed"]["output"].split(" of ")[0])
    assert count >= 2
    assert tasks["missed"]["output"] == f"{count} of {count}"
    assert tasks["well"]["output"]["missed"] >= 2
    assert tasks["well"]["output"]["failed"] == 0
    # A notice that fails is a dead letter like any other, and no notice follows it.
    letters = shell.json("dlq", "list", "-s", "watched")["items"]
    assert missed["id"] in {letter["run"] for letter in letters}
    assert "missed" in shell("describe", "run", missed["id"]).stdout
    events = shell.json("get", "events", "--type", "activityctl.run.missed")["items"]
    stored = [
        shell.json("describe", "event", event["id"])["event"]["data"]
        for event in events
        if event["subject"] == "watched"
    ]
    assert {str(data["labels"]) for data in stored} == {"{'team': 'db', 'tier': 'gold'}"}
    assert count in {data["count"] for data in stored}

    def heard() -> list[str]:
        tasks = shell.json("get", "tasks", "-s", "tell-db", "--status", "succeeded")["items"]
        lines = [line for task in tasks for line in task["output"]]
        return lines if "watched activityctl.run.recovered" in lines else []

    assert "watched activityctl.run.missed" in until(heard)
    for name in ("watched", "tell-db"):
        shell("delete", "sub", name, "--yes")
