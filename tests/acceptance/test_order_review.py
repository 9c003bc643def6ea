"""The order review of the design runs as it is written, and a person completes the review.

Its neighbours are a local server: the CRM that wants a token, the service that scores, a model,
the channels that hear the verdict, and the pager.
"""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.http_server import Request, Server, answering, answering_json
from support.model_server import says
from support.terminal import Conversation

TOKEN = "Bearer token-of-the-crm"
REVIEW = Path(__file__).with_name("order_review.yaml").read_text()
"""The definition and the subscription of the design, word by word."""
EVENT = "order.of-the-review"
WITH_MODEL = """\
    - name: note
      needs: [review]
      ai: {provider: openai, model: m-1, baseUrl: "%s/v1", apiKey: {secretRef: model-key},
           prompt: "Tell the customer: ${ tasks.review.output.verdict }"}
  onFailure:
"""


class Neighbours:
    """All servers that the definition calls, as one that listens in a thread of its own."""

    def __init__(self) -> None:
        self.server = Server(self.answer)
        self.loop = asyncio.new_event_loop()
        listening = asyncio.start_server(self.server.talk, "127.0.0.1", 0)
        self.listener = self.loop.run_until_complete(listening)
        self.server.port = self.listener.sockets[0].getsockname()[1]
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    async def answer(self, writer: asyncio.StreamWriter) -> None:
        request = self.server.requests[-1]
        match request.target.split("/")[1]:
            case "c" if request.headers.get("authorization") != TOKEN:
                await answering(b"who are you?", "401 Unauthorized")(writer)
            case "c":
                channels = [{"url": f"{self.server.url}/say/{name}"} for name in ("mail", "sms")]
                active = not request.target.endswith("closed")
                await answering_json(json.dumps({"active": active, "channels": channels}))(writer)
            case "score":
                risk = json.loads(request.body)["order"]["amount"] / 10_000
                await answering_json(json.dumps({"risk": risk, "status": "scored"}))(writer)
            case "v1":
                await says("openai", "Your order is on its way.")(writer)
            case _:
                await answering_json("{}")(writer)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end_talks(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    async def _end_talks(self) -> None:
        self.listener.close()
        for talk in self.server.talks:
            talk.cancel()
        await asyncio.gather(*self.server.talks, return_exceptions=True)

    def got(self, path: str) -> list[Request]:
        return [request for request in self.server.requests if request.target.startswith(path)]


@pytest.fixture
def neighbours() -> Iterator[Neighbours]:
    made = Neighbours()
    yield made
    made.close()


def emit(shell: Any, order: str, customer: str, amount: int, *more: str) -> str:
    data = json.dumps({"id": order, "customer": customer, "amount": amount})
    words = ("--type", EVENT, "--source", "/shop", "--data", data, "-o", "json", *more)
    return str(shell("emit", *words, code=None).stdout)


def run_of(shell: Any, order: str, customer: str, amount: int) -> dict[str, Any]:
    """Emit an order, and return its run at the end."""
    (result,) = json.loads(emit(shell, order, customer, amount, "--wait"))["items"]
    (run,) = result["runs"]
    return dict(run)


def waiting(shell: Any) -> list[dict[str, Any]]:
    """Return the tasks that wait for the team, as soon as there is one."""
    deadline = time.monotonic() + 90
    words = ("get", "tasks", "-s", "eu-orders", "--status", "waiting", "--assignee", "fraud-team")
    while not (found := shell.json(*words)["items"]):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return list(found)


def apply_review(shell: Any, url: str) -> None:
    (shell.folder / "design.yaml").write_text(REVIEW)
    assert "crm-token" in shell("validate", "-f", "design.yaml").stderr
    text = REVIEW.replace("  onFailure:\n", WITH_MODEL % url)
    # Samples of other tests listen to the type of the design, and no night may fall meanwhile.
    text = text.replace("order.created", EVENT).replace("0 2 * * 1-5", "0 2 1 1 *")
    for host in ("crm", "risk", "pager"):
        text = text.replace(f"https://{host}.example", url)
    (shell.folder / "review.yaml").write_text(text)
    shell("apply", "-f", "review.yaml", "--yes")
    shell("secrets", "set", "crm-token", stdin=TOKEN)
    shell("secrets", "set", "model-key", stdin="key-of-the-model")


def forget_review(shell: Any) -> None:
    for name in ("sub/eu-orders", "sub/order-review", "def/order-review"):
        done = shell("delete", name, "--yes", code=None)
        assert done.returncode in {0, 4}, done.stderr


@pytest.fixture
def review(shell: Any, neighbours: Neighbours) -> Iterator[None]:
    """The automation, alone: a sample that another test applies has the same name."""
    forget_review(shell)
    apply_review(shell, neighbours.server.url)
    yield
    forget_review(shell)


@pytest.mark.usefixtures("review")
def test_a_new_user_runs_the_order_review_of_the_design(shell, neighbours: Neighbours):
    # A large order waits for a person; the form has the field that `notify` reads.
    emit(shell, "order-1", "anna", 9500)
    (task,) = waiting(shell)
    assert task["input"]["form"]["required"] == ["verdict"]
    again = run_of(shell, "order-2", "anna", 9000)
    talk = Conversation(shell.command("complete", task["id"][:10]), shell.environment)
    talk.wait_for("Check order order-1")
    talk.answers("verdict: ", "")
    talk.answers("! a value is needed", "approve")
    talk.wait_for('{"verdict": "approve"}')
    talk.answers("[Y/n]: ", "")
    assert talk.end() == 0
    shell("wait", task["run"])

    run = shell.json("describe", "run", task["run"])
    tasks = {(each["name"], each["index"]): each for each in run["tasks"]}
    assert run["context"]["customer"]["active"] is True
    assert tasks["score", 0]["output"]["json"]["risk"] == 0.95
    assert tasks["note", 0]["output"]["text"] == "Your order is on its way."
    assert neighbours.got("/v1")[0].headers["authorization"] == "Bearer key-of-the-model"
    assert sorted(request.target for request in neighbours.got("/say")) == ["/say/mail", "/say/sms"]
    assert {request.body for request in neighbours.got("/say")} == {b'{"verdict":"approve"}'}
    assert neighbours.got("/alert") == []
    log = shell("logs", "run/" + task["run"]).stdout
    assert "task review waits for fraud-team until 20" in log
    assert "task review succeeded: completed by" in log
    assert TOKEN not in json.dumps(run) + log

    # What did not run says why.
    assert again["status"] == "skipped"
    assert "key anna" in again["reason"]
    assert run_of(shell, "order-3", "closed", 9000)["reason"] == "customer is not active"
    quiet = run_of(shell, "order-4", "ben", 2000)
    assert quiet["status"] == "succeeded"
    listed = shell.json("get", "tasks", "--run", quiet["id"])["items"]
    assert {each["name"] for each in listed if each["status"] == "skipped"} == {
        "review",
        "notify",
        "note",
    }
    by_hand = shell("trigger", "eu-orders", "--wait", code=1).stdout
    assert "no event started this run, so `event` is null" in by_hand

    # The answer of a script is held to the same form.
    emit(shell, "order-5", "anna", 9000)
    (task,) = waiting(shell)
    unfit = shell("complete", task["id"], "--output", '"approve"', code=3).stderr
    assert "'approve' is not of type 'object'" in unfit
    shell("complete", task["id"], "--output", '{"verdict": "reject"}')
    shell("wait", task["run"])
    assert neighbours.got("/say")[-1].body == b'{"verdict":"reject"}'
    shell("delete", "sub", "eu-orders", "--yes")
    shell("secrets", "remove", "crm-token", "--yes")  # the daemon is shared
