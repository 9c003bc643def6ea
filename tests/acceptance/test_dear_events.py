"""Events that may be much work for a filter: commands evaluate them where it can be stopped."""

import json
from typing import Any

APPLIED = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: dear}
spec:
  triggers:
    - name: blocked
      event: {type: dear.tags, filter: "event.data.tags.exists(t, t in event.data.blocked)"}
  tasks: [{name: one, command: {argv: ["true"]}}]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: dear}
spec: {activity: dear}
"""


def event(tags: list[str]) -> dict[str, Any]:
    data = {"tags": tags, "blocked": [f"b{number}" for number in range(50_000)]}
    head = {"specversion": "1.0", "id": "1", "source": "/t", "type": "dear.tags"}
    return {**head, "data": data}


def test_a_dry_run_and_an_explanation_end_with_a_result_or_a_reason(shell) -> None:
    (shell.folder / "dear.yaml").write_text(APPLIED)
    shell("apply", "-f", "dear.yaml")
    quick, endless = event(["b0"] * 3_000), event([f"t{number}" for number in range(3_000)])
    for document, wakes in ((quick, True), (endless, False)):
        (shell.folder / "event.json").write_text(json.dumps(document))
        done = shell("emit", "event.json", "--dry-run", "-o", "json")
        (item,) = json.loads(done.stdout)["items"]
        (result,) = [
            each for each in item["wakes" if wakes else "sleeps"] if each["subscription"] == "dear"
        ]
        assert wakes or "too much work" in result["reason"]
        explained = shell("explain", "event", "-f", "event.json", code=None)
        assert ("too much work" in explained.stdout) is not wakes
