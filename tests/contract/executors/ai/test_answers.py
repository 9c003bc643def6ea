"""What a model answers: text, JSON that fits, JSON that does not, refusals, cut answers."""

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from activityctl.domain.values.model import WRITTEN
from activityctl.executors.ai import AiExecutor
from activityctl.executors.ai_body import AiBody
from support.http_server import Serve, a_call
from support.model_server import (
    PROVIDERS,
    SCHEMA,
    ask,
    ask_in_vain,
    counting,
    events,
    gives,
    in_turn,
    openai_chunk,
    says,
    streaming,
)
from support.outgoing import Outgoing

USAGE = {"inputTokens": 11, "outputTokens": 5, "totalTokens": 16, "requests": 1}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_text_comes_back_with_its_usage(
    serve: Serve, executor: AiExecutor, provider: str, *, stream: bool
):
    server = await serve(says(provider, "Forty-two, née 42.", stream=stream))
    call, progress = counting(a_call(attempt=3))
    outgoing = Outgoing()
    call = replace(call, outgoing=outgoing)
    price = {"inputPerMillion": 2, "outputPerMillion": 10}
    outcome = await ask(
        *(executor, server, provider, call),
        system="Be brief.",
        temperature=0,
        maxTokens=50,
        stream=stream,
        price=price,
        options={"top_k": 3},
    )
    assert outcome.output.pop("durationMs") >= 0
    assert outcome.output == {
        "text": "Forty-two, née 42.",
        "json": None,
        "model": "m-1-2026",
        "finishReason": "stop" if provider == "openai" else "end_turn",
        "truncated": False,
        "usage": USAGE,
        "costUsd": 0.000072,
    }
    assert progress
    assert outgoing.ended == [f"{provider} m-1"]
    [request] = server.requests
    sent = json.loads(request.body)
    assert (sent["model"], sent["max_tokens"], sent["temperature"]) == ("m-1", 50, 0)
    assert (sent.get("stream", False), sent["top_k"]) == (stream, 3)
    said = {"role": "user", "content": "How many?"}
    if provider == "openai":
        assert request.target == "/v1/chat/completions"
        assert sent["messages"] == [{"role": "system", "content": "Be brief."}, said]
    else:
        assert request.target == "/v1/messages"
        assert (sent["system"], sent["messages"]) == ("Be brief.", [said])
    headers = request.headers
    assert (headers["idempotency-key"], headers["x-activityctl-attempt"]) == ("task-1", "3")
    assert not {"authorization", "x-api-key"} & headers.keys()
    assert not [name for name in headers if name.startswith("x-stainless")]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("provider", PROVIDERS)
async def test_json_that_fits_comes_back_parsed(
    serve: Serve, executor: AiExecutor, provider: str, *, stream: bool
):
    server = await serve(gives(provider, {"score": 7}, stream=stream))
    outcome = await ask(executor, server, provider, output={"schema": SCHEMA}, stream=stream)
    assert (outcome.output["json"], outcome.output["text"]) == ({"score": 7}, None)
    sent = json.loads(server.requests[0].body)
    if provider == "openai":
        assert sent["response_format"]["json_schema"]["schema"] == SCHEMA
    else:
        assert sent["tools"][0]["input_schema"] == SCHEMA
        assert sent["tool_choice"]["type"] == "tool"


async def test_a_schema_can_go_by_the_prompt(serve: Serve, executor: AiExecutor):
    server = await serve(says("openai", '```json\n{"score": 7}\n```'))
    form = {"schema": SCHEMA, "method": "prompt"}
    outcome = await ask(executor, server, "openai", output=form, system="Be kind.")
    assert outcome.output["json"] == {"score": 7}
    sent = json.loads(server.requests[0].body)
    assert "response_format" not in sent
    assert sent["messages"][0]["content"].startswith("Be kind.")
    assert '"required": ["score"]' in sent["messages"][0]["content"]


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_answer_that_does_not_fit_is_asked_for_once_more(
    serve: Serve, executor: AiExecutor, provider: str
):
    first = gives(provider, {"score": "high"})
    server = await serve(in_turn(first, gives(provider, {"score": 7})))
    outcome = await ask(executor, server, provider, output={"schema": SCHEMA})
    assert outcome.output["json"] == {"score": 7}
    assert outcome.output["usage"] == {
        "inputTokens": 22,
        "outputTokens": 10,
        "totalTokens": 32,
        "requests": 2,
    }
    again = json.loads(server.requests[1].body)["messages"]
    assert [said["role"] for said in again] == ["user", "assistant", "user"]
    assert "score: 'high' is not of type 'integer'" in again[2]["content"]
    keys = [request.headers["idempotency-key"] for request in server.requests]
    assert keys == ["task-1", "task-1/2"]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("text", ["I would say seven.", "[7]", '{"score": NaN}', "[" * 100_000, ""])
async def test_text_that_is_no_fitting_json_fails_after_two_requests(
    serve: Serve, executor: AiExecutor, provider: str, text: str
):
    server = await serve(says(provider, text))
    error = await ask_in_vain(executor, server, provider, output={"schema": SCHEMA})
    assert (error.task_code, error.may_retry) == ("invalid_output", False)
    assert error.output["text"] == text
    assert error.output["usage"]["requests"] == 2
    assert len(server.requests) == 2


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_cut_answer_is_flagged_and_with_a_schema_an_error(
    serve: Serve, executor: AiExecutor, provider: str
):
    finish = "length" if provider == "openai" else "max_tokens"
    server = await serve(says(provider, '{"sco', finish=finish))
    outcome = await ask(executor, server, provider)
    assert (outcome.output["truncated"], outcome.output["text"]) == (True, '{"sco')
    error = await ask_in_vain(executor, server, provider, output={"schema": SCHEMA})
    assert (error.task_code, error.may_retry) == ("truncated", False)
    assert error.output["usage"] == USAGE


@pytest.mark.parametrize(
    ("provider", "finish"), [("openai", "content_filter"), ("anthropic", "refusal")]
)
async def test_a_refusal_is_final(serve: Serve, executor: AiExecutor, provider: str, finish: str):
    server = await serve(says(provider, "I will not.", finish=finish))
    error = await ask_in_vain(executor, server, provider)
    assert (error.task_code, error.may_retry) == ("refused", False)
    assert "I will not." in error.message
    assert error.output == {"usage": USAGE}


async def test_a_refusal_in_a_field_of_its_own_is_one(serve: Serve, executor: AiExecutor):
    chunks = events(openai_chunk({"refusal": "No, "}), openai_chunk({"refusal": "sorry"}, "stop"))
    server = await serve(streaming(chunks))
    error = await ask_in_vain(executor, server, "openai")
    assert (error.task_code, "No, sorry" in error.message) == ("refused", True)


async def test_a_server_that_does_not_count_tokens_leaves_them_unknown(
    serve: Serve, executor: AiExecutor
):
    server = await serve(streaming(events(openai_chunk({"content": "7"}, "stop"), "[DONE]")))
    price = {"inputPerMillion": 2, "outputPerMillion": 10}
    output = (await ask(executor, server, "openai", price=price)).output
    assert output["usage"]["totalTokens"] is None
    assert output["costUsd"] is None


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"prompt": None}, "exactly one of prompt and messages"),
        ({"messages": [{"role": "user", "content": "b"}]}, "exactly one of prompt and messages"),
        ({"options": {"stream": True}}, "stream is set by activityctl"),
        ({"baseUrl": "ftp://a.example"}, "ftp"),
        ({"baseUrl": "https://me:pw@a.example"}, "user"),
        ({"baseUrl": "https://a.example/v1?key=1"}, "query"),
        ({"output": {"schema": {}}}, "should not be empty"),
        ({"output": {"schema": {"type": "array"}}}, "because the answer is an object"),
        ({"output": {"schema": {"type": "obj"}}}, "not a JSON Schema"),
        ({"output": {"schema": {"$ref": "https://a.example/s"}}}, "leads outside the schema"),
        ({"output": {"schema": {"description": "x" * 70_000}}}, "at most 65,536"),
    ],
)
def test_wrong_bodies_are_refused_when_written(more: dict[str, Any], reason: str):
    body = {"provider": "openai", "model": "m", "prompt": "a", **more}
    with pytest.raises(ValidationError, match=reason):
        AiBody.model_validate(body, context=WRITTEN)
