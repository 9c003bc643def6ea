"""The API of the real daemon: what it answers is what the command line prints."""

from typing import Any

import httpx

MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: door-greeting}
spec:
  triggers: [{name: daily, cron: {schedule: "0 3 * * *"}}]
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
