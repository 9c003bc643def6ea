"""A run that misses its slo is noted in its log, and starts an automation that hears of it."""

from typing import Any

from support.waiting import until

MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: slow}
spec:
  slo: {endWithin: 1s}
  tasks: [{name: rest, wait: {for: 10m}}]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: slow}
spec: {activity: slow}
---
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: tell-late}
spec:
  triggers: [{name: late, event: {type: activityctl.run.late, filter: event.subject == "slow"}}]
  tasks: [{name: tell, value: "${ event.data.run + ' ' + event.data.deadline }"}]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: tell-late}
spec: {activity: tell-late}
"""


def test_a_late_run_is_noted_and_starts_what_hears_of_it(shell: Any):
    (shell.folder / "late.yaml").write_text(MANIFEST)
    shell("apply", "-f", "late.yaml")
    run = shell("trigger", "slow", "--no-wait").stdout.strip().removeprefix("run/")
    until(
        lambda: shell.json("get", "runs", "-s", "tell-late", "--status", "succeeded")["items"],
    )
    (told,) = shell.json("get", "tasks", "-s", "tell-late")["items"]
    assert told["output"] == f"{run} end"
    (late,) = shell.json("describe", "run", run)["late"]
    assert late["deadline"] == "end"
    assert "slo endWithin: 1s" in shell("logs", f"run/{run}").stdout
    shell("cancel", run)
    for name in ("slow", "tell-late"):
        shell("delete", "sub", name, "--yes")
