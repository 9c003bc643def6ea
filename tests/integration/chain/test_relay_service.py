"""A relay service gets each call once, and its answer is told to the executor as it is."""

import asyncio
import json
from dataclasses import replace

import pytest

from activityctl import wiring
from activityctl.domain.chain.executable import Executable
from activityctl.domain.chain.hook_payloads import empty_relay_response
from activityctl.domain.chain.relaying import ServiceTerms
from activityctl.errors import TaskError
from activityctl.executors.hook_client import HookClient
from activityctl.executors.relays.passage import RelayPorts
from activityctl.executors.relays.relayer import Relayer
from activityctl.ports import RelayRequest
from support.http_server import LOOPBACK, Server, answering, answering_json
from support.relaying import EXECUTOR, TO, triggers

HASH = "0x" + "ab" * 32
TASKS, STATUS = "/v1/automations/tasks/execute/8453", "/v1/relayer/tasks/status/task-7"


def status(text: str, **response: object) -> str:
    whole = empty_relay_response()
    said = {**whole["metadata"]["response"], **response}
    metadata = {**whole["metadata"], "response": said}
    return json.dumps({"data": {**whole, "taskId": "task-7", "status": text, "metadata": metadata}})


class Service:
    """Answers the calls one after the other with these texts; a number is a status."""

    def __init__(self, *answers: str | int) -> None:
        self.answers = list(answers)
        self.server = Server(self._answer)

    async def _answer(self, writer):
        given = self.answers.pop(0)
        if isinstance(given, int):
            await answering(b"", status=f"{given} No")(writer)
        else:
            await answering_json(given)(writer)

    @property
    def asked(self) -> list[str]:
        return [f"{each.method} {each.target}" for each in self.server.requests]


@pytest.fixture
async def relay(ports: wiring.Ports):
    client = HookClient(allow_http=True, allowed_networks=LOOPBACK)
    relay_ports = RelayPorts(None, None, ports.relays)  # type: ignore[arg-type]  # no chain
    yield Relayer(relay_ports, client, poll_seconds=0.01)
    await client.close()


@pytest.fixture
async def handed(ports: wiring.Ports, listening):
    await triggers(ports, "a")
    call = Executable(0, TO, 5, b"\1")
    terms = ServiceTerms(listening.server.url, "key-of-ours")
    return RelayRequest("request-a", "s", 8453, TO, EXECUTOR, call, "0x11", "a", 60.0, None, terms)


@pytest.fixture
async def listening():
    service = Service()
    listener = await asyncio.start_server(service.server.talk, "127.0.0.1", 0)
    service.server.port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield service
        for talk in service.server.talks:
            talk.cancel()


async def test_a_call_is_handed_over_once_and_its_task_is_asked_until_it_has_ended(
    ports: wiring.Ports, relay: Relayer, handed: RelayRequest, listening: Service
):
    service = listening
    assert not await relay.has_begun("a")
    service.answers = [503]
    with pytest.raises(TaskError) as raised:  # perhaps it was taken all the same
        await relay.execute(handed)
    assert raised.value.may_retry
    assert await relay.has_begun("a")
    service.answers = ['{"data": {"taskId": "task-7"}}', status("pending")]
    with pytest.raises(TaskError, match="task-7 of the relay service is pending") as raised:
        await relay.execute(replace(handed, seconds=0.001))
    assert raised.value.task_code == "relay_pending"
    done = status("successful", isSuccessful=True, transactionHash=HASH)
    service.answers = [status("executing"), done, done]
    outcome = await relay.execute(handed)
    assert (outcome.kind, outcome.transaction_hash) == ("executed", HASH)
    assert outcome.relay_response == json.loads(done)["data"]
    assert await relay.execute(handed) == outcome
    assert service.asked == [f"POST {TASKS}"] * 2 + [f"GET {STATUS}"] * 4
    first = service.server.requests[0]
    assert json.loads(first.body) == {
        "task": {
            "subaccount": TO,
            "executor": EXECUTOR,
            "executorSignature": "0x11",
            "executable": {"callType": 0, "to": TO, "value": "5", "data": "0x01"},
        }
    }
    assert first.headers["idempotency-key"] == "request-a"
    assert {each.headers["x-api-key"] for each in service.server.requests} == {"key-of-ours"}
    kept = await ports.relays.task("a")
    assert kept.response == outcome.relay_response


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([400], "400"),
        (['{"data": {"taskId": "task-7"}}', status("cancelled")], "cancelled: no reason"),
        (['{"taskId": "task-7"}', status("x", error="out of gas")], "says x: out of gas"),
    ],
)
async def test_a_call_that_a_service_does_not_carry_out_has_failed(
    relay: Relayer, handed: RelayRequest, listening: Service, answers, message
):
    listening.answers = answers
    outcome = await relay.execute(handed)
    assert (outcome.kind, outcome.error_type) == ("failed", "relay_failed")
    assert message in outcome.message


@pytest.mark.parametrize("answer", ["[]", "{}", '{"data": {"taskId": "../x"}}', "no json"])
async def test_a_service_whose_answer_cannot_be_used_is_asked_again(
    relay: Relayer, handed: RelayRequest, listening: Service, answer: str
):
    listening.answers = [answer]
    with pytest.raises(TaskError, match="the relay service: its answer") as raised:
        await relay.execute(handed)
    assert (raised.value.task_code, raised.value.may_retry) == ("bad_service", True)
