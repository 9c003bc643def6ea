"""A person completes the review of an order from the terminal, field by field."""

import json
import time
from typing import Any

from support.terminal import Conversation

REVIEW = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: desk-of-tests}
spec:
  timeout: 3d
  params: {type: object, properties: {threshold: {type: number, default: 1000}}}
  triggers:
    - name: large-order
      event: {type: desk.order, filter: event.data.amount > params.threshold}
  tasks:
    - name: score
      http: {url: /healthz}
    - name: review
      needs: [score]
      when: tasks.score.output.status == 200
      manual:
        assignee: desk-of-team
        instructions: "Check order ${ event.data.id }."
        due: 2d
        form:
          type: object
          required: [verdict, score]
          properties:
            verdict: {enum: [approve, reject], description: Is the order genuine?}
            score: {type: integer, minimum: 0, maximum: 10, default: 5}
            note: {type: string}
    - name: notify
      needs: [review]
      forEach: ["${ event.data.id }", "second"]
      maxParallel: 4
      http: {url: /healthz, query: {verdict: "${ tasks.review.output.verdict }", to: "${ item }"}}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: desk-of-tests}
spec: {activity: desk-of-tests}
"""


def waiting(shell: Any, count: int = 1) -> list[dict[str, Any]]:
    """Return the tasks that wait for the team, when there are so many."""
    deadline = time.monotonic() + 90
    words = (
        "get",
        "tasks",
        "-s",
        "desk-of-tests",
        "--status",
        "waiting",
        "--assignee",
        "desk-of-team",
    )
    while len(found := shell.json(*words)["items"]) < count:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return list(found)


def emit(shell: Any, order: str) -> None:
    data = json.dumps({"id": order, "amount": 2500})
    shell("emit", "--type", "desk.order", "--source", "/shop", "--data", data)


def test_a_person_completes_a_review_field_by_field(shell):
    (shell.folder / "desk.yaml").write_text(REVIEW)
    shell("apply", "-f", "desk.yaml", "--yes")
    emit(shell, "order-7")
    (task,) = waiting(shell)
    listed = shell("get", "tasks", "-s", "desk-of-tests", "--status", "waiting")
    assert "desk-of-team" in listed.stdout
    assert "Check order order-7." in listed.stdout
    assert f"activityctl complete {task['id'][:8]}" in listed.stderr

    # Ctrl-C leaves nothing.
    talk = Conversation(shell.command("complete", task["id"][:10]), shell.environment)
    talk.answers("verdict: ", "1")
    talk.answers("score [5]: ", "\x03")
    assert talk.end() == 130
    assert "nothing was recorded; the task still waits" in talk.shown
    assert waiting(shell)[0]["status"] == "waiting"

    reference = f"{task['run'][:10]}/review"
    talk = Conversation(shell.command("complete", reference), shell.environment)
    talk.wait_for("Check order order-7.")
    talk.wait_for("1) approve")
    talk.answers("verdict: ", "maybe")
    talk.answers("! choose 1 to 2, or type one of approve, reject", "2")
    talk.answers("score [5]: ", "11")
    talk.wait_for("! 11 is greater than the maximum of 10")
    talk.answers("score [5]: ", "")
    talk.answers("note: ", "the card was stolen")
    talk.wait_for('{"verdict": "reject", "score": 5, "note": "the card was stolen"}')
    talk.answers("[Y/n]: ", "")
    talk.wait_for(f"task/{task['id']} completed")
    assert talk.end() == 0

    run = shell.json("describe", "run", task["run"], code=0)
    deadline = time.monotonic() + 90
    while run["status"] == "running" and time.monotonic() < deadline:
        time.sleep(0.2)
        run = shell.json("describe", "run", task["run"])
    assert run["status"] == "succeeded"
    tasks = {(each["name"], each["index"]): each for each in run["tasks"]}
    assert tasks["review", 0]["completedBy"]
    assert tasks["notify", 1]["input"]["query"] == {"verdict": "reject", "to": "second"}

    # The same answer again is no error; another one is a conflict that names the first.
    same = '{"verdict": "reject", "note": "the card was stolen"}'
    again = shell("complete", reference, "--output", same)
    assert "already completed in the same way, by " in again.stderr
    other = shell("complete", reference, "--output", '{"verdict": "approve"}', code=5)
    assert f"was completed by {tasks['review', 0]['completedBy']} at 20" in other.stderr
    log = shell("logs", "desk-of-tests").stdout
    assert "task review waits for desk-of-team until 20" in log
    assert f"task review succeeded: completed by {tasks['review', 0]['completedBy']}" in log


def test_an_answer_may_be_given_without_a_terminal(shell):
    (shell.folder / "desk.yaml").write_text(REVIEW)
    shell("apply", "-f", "desk.yaml", "--yes")
    emit(shell, "order-8")
    (task,) = waiting(shell)
    nothing = shell("complete", task["id"], code=2, stdin="")
    assert "add --output JSON or --fail REASON" in nothing.stderr
    unfit = shell("complete", task["id"], "--output", '{"verdict": 1}', code=3)
    assert "verdict: 1 is not one of ['approve', 'reject']" in unfit.stderr
    assert "--output:1:2" in shell("complete", task["id"], "--output", "{x", code=3).stderr
    shell("complete", task["id"], "--output", "{}", "--fail", "no", code=2)
    shell("complete", "no-such-task", "--output", "{}", code=4)
    (score,) = [
        each
        for each in shell.json("get", "tasks", "--run", task["run"])["items"]
        if each["kind"] == "http"
    ]
    assert "only manual tasks" in shell("complete", score["id"], "--output", "1", code=1).stderr
    shell("complete", task["id"], "--fail", "the shop is closed")
    failed = shell("wait", task["run"], code=1)
    assert "task review failed: the shop is closed" in failed.stdout + failed.stderr
    emit(shell, "order-9")
    (task,) = waiting(shell)
    piped = shell("complete", task["id"], "--output", "-", stdin='{"verdict": "approve"}')
    assert piped.stdout == f"task/{task['id']} completed\n"
    shell("wait", task["run"])
