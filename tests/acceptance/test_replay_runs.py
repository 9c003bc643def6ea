"""`replay RUN`: a new run with the old firing, what is called again listed first and confirmed."""

from pathlib import Path
from typing import Any

MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: pricing}
spec:
  params: {type: object, properties: {factor: {type: integer, default: 2}}}
  context: [{name: before, runs: {limit: 5}}]
  rules: [{when: context.before.size() < 9}]
  tasks:
    - name: fetch
      command:
        shell: "echo fetched >> FOLDER/fetch; echo $N"
        env: {N: "${ trigger.payload.n }"}
    - name: price
      needs: [fetch]
      command:
        argv: [sh, FOLDER/price.sh, "${ (10 + context.before.size()) * params.factor }"]
    - name: tell
      needs: [price]
      command: {argv: [echo, "${ tasks.price.output.stdout }"]}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: pricing, labels: {team: shop}}
spec: {activity: pricing}
"""
SCRIPT = """
echo "$ACTIVITYCTL_IDEMPOTENCY_KEY" >> FOLDER/keys
test -e FOLDER/well || { echo 503 >&2; exit 3; }
echo "$1"
"""


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_a_run_is_replayed_with_what_it_saw_and_calls_only_what_was_listed(shell: Any):
    folder: Path = shell.folder
    for name, text in (("pricing.yaml", MANIFEST), ("price.sh", SCRIPT)):
        (folder / name).write_text(text.replace("FOLDER", str(folder)))
    shell("apply", "-f", "pricing.yaml")
    shell("trigger", "pricing", "--payload", '{"n": 7}', "--wait", code=1)
    failed = shell.json("get", "runs", "-s", "pricing")["items"][0]["id"]

    told = shell("replay", failed[:8], "--dry-run").stdout
    assert f"replay of run {failed[:8]} of pricing, which failed" in told
    assert "nothing differs from then" in told
    refused = shell("replay", failed[:8], code=1).stderr
    for text in ("called again", "depends on a result", "kept: fetch", "add --yes"):
        assert text in refused
    assert len(shell.json("get", "runs", "-s", "pricing")["items"]) == 1

    (folder / "well").touch()
    (first,) = shell.json("replay", failed[:8], "--yes", "--diff", "--id", "mended")["items"]
    assert (first["status"], first["replayOf"], first["outcome"]) == (
        "succeeded",
        failed,
        "replayed",
    )
    by_name = {task["name"]: task for task in first["diff"]["tasks"]}
    assert by_name["fetch"]["isKept"]
    assert [by_name["price"][side]["status"] for side in ("then", "now")] == ["failed", "succeeded"]
    assert lines(folder / "fetch") == ["fetched"]
    run = shell.json("describe", "run", first["id"])
    assert (run["replayOf"], run["context"], run["payload"]) == (failed, {"before": []}, {"n": 7})
    assert [task["output"]["stdout"] for task in run["tasks"]] == ["7\n", "20\n", "20\n\n"]
    (link,) = shell.json("describe", "run", failed)["replays"]
    assert link == {"id": first["id"], "status": "succeeded"}
    again = shell("replay", failed[:8], "--yes", "--id", "mended")
    assert "was replayed under this name before" in again.stderr

    check_many(shell)
    done = first["id"][:8]
    assert "no task is called again" in shell("replay", done).stderr
    (second,) = shell.json("replay", done, "--from", "price", "--yes")["items"]
    assert second["status"] == "succeeded"
    assert lines(folder / "fetch") == ["fetched"]
    first_key, same_key, fresh_key = lines(folder / "keys")
    assert (first_key == same_key, fresh_key.startswith("replay-")) == (True, True)
    assert "name the whole task: price" in shell("replay", done, "--from", "price.x", code=4).stderr
    shell("replay", done, "--from", "price", "--all-tasks", code=2)

    shell("apply", "-f", "-", stdin=(folder / "pricing.yaml").read_text().replace(": 2}", ": 3}"))
    (view,) = shell.json("replay", done, "--latest", "--all-tasks", "--dry-run")["items"]
    price = {task["name"]: task for task in view["tasks"]}["price"]
    assert (view["isSameRevision"], price["now"], price["key"]) == (False, "called", "new")
    (change,) = price["inputChanges"]
    assert (change["old"][-1], change["new"][-1]) == (20, 30)
    live = shell("replay", done, "--live-context", "--from", "price", "--dry-run").stdout
    assert "resolved when the replay begins: context before" in live
    (third,) = shell.json("replay", done, "--live-context", "--from", "price", "--yes")["items"]
    assert shell.json("describe", "run", third["id"])["context"]["before"]
    assert "replayed as run" in shell("logs", "pricing").stdout
    shell("delete", "sub", "pricing", "--yes")
    assert "was deleted" in shell("replay", done, code=5).stderr


def check_many(shell: Any) -> None:
    bulk = ["replay", "-s", "pricing", "--since", "1h"]
    assert shell(*bulk, "--dry-run").stderr == "no run to replay\n", "the replay has succeeded"
    (shell.folder / "well").unlink()
    shell("trigger", "pricing", "--wait", code=1)
    failed = shell.json("get", "runs", "-s", "pricing", "--limit", "1")["items"][0]["id"]
    assert failed[:8] in shell(*bulk, "--dry-run").stdout
    assert "add --yes" in shell(*bulk, code=1).stderr
    assert "no run to replay" in shell(*bulk, "--status", "timed_out").stderr
    (many,) = shell.json(*bulk, "--yes", "--limit", "5", "--id", "bulk", code=1)["items"]
    assert (many["replayOf"], many["outcome"]) == (failed, "replayed")
    assert "no run to replay" in shell(*bulk, "--yes", "--id", "bulk").stderr
    (last,) = shell.json(*bulk, "--dry-run")["items"]
    assert last["replayOf"] == many["id"], "of a firing, the last run counts"
    (shell.folder / "well").touch()
    shell("replay", code=2)
