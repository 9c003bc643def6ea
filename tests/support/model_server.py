"""Answers of models on the wire, as both APIs write them, and calls of the `ai` executor."""

import asyncio
import json
from dataclasses import replace
from typing import Any

from activityctl.executors.ai import AiExecutor
from activityctl.ports import ExecutorOutcome, TaskCall
from activityctl.steps.limited import parse_body
from support.http_server import Answer, Server, a_call, answering, answering_json, failing

SCHEMA = {
    "type": "object",
    "properties": {"score": {"type": "integer"}},
    "required": ["score"],
}
PROVIDERS = ("openai", "anthropic")


def ask_body(server: Server, provider: str, **more: Any) -> dict[str, Any]:
    base = server.url + ("/v1" if provider == "openai" else "")
    body = {"provider": provider, "model": "m-1", "baseUrl": base, "prompt": "How many?", **more}
    return {key: value for key, value in body.items() if value is not None}


async def ask(
    executor: AiExecutor, server: Server, provider: str, call: TaskCall | None = None, **more: Any
) -> ExecutorOutcome:
    body = parse_body(executor, ask_body(server, provider, **more))
    return await executor.execute(body, call or a_call())


async def ask_in_vain(
    executor: AiExecutor, server: Server, provider: str, call: TaskCall | None = None, **more: Any
) -> Any:
    return await failing(executor, call, **ask_body(server, provider, **more))


def says(provider: str, text: str, *, stream: bool = True, finish: str | None = None) -> Answer:
    """Answer with a text, in the form of the API."""
    parts = [text[: len(text) // 2], text[len(text) // 2 :]]
    if provider == "openai":
        return _openai(parts, finish or "stop", stream=stream)
    return _anthropic(parts, finish or "end_turn", stream=stream)


def events(*all_events: dict[str, Any] | str, named: bool = False) -> bytes:
    lines = []
    for event in all_events:
        name = f"event: {event['type']}\n" if named and isinstance(event, dict) else ""
        data = event if isinstance(event, str) else json.dumps(event)
        lines.append(f"{name}data: {data}\n\n")
    return "".join(lines).encode()


def streaming(content: bytes) -> Answer:
    return answering(content, headers=["Content-Type: text/event-stream; charset=utf-8"])


def openai_chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {
        "id": "c-1",
        "object": "chat.completion.chunk",
        "model": "m-1-2026",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


def _openai(parts: list[str], finish: str, *, stream: bool) -> Answer:
    usage = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
    if not stream:
        message = {"role": "assistant", "content": "".join(parts)}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        return answering_json(
            json.dumps({"model": "m-1-2026", "choices": [choice], "usage": usage})
        )
    chunks = [openai_chunk({"content": part}) for part in parts]
    last = {"object": "chat.completion.chunk", "model": "m-1-2026", "choices": [], "usage": usage}
    return streaming(events(*chunks, openai_chunk({}, finish), last, "[DONE]"))


def _anthropic(parts: list[str], finish: str, *, stream: bool, tool: bool = False) -> Answer:
    usage = {"input_tokens": 11, "output_tokens": 1}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "m-1-2026"}
    if not stream:
        block: dict[str, Any] = {"type": "text", "text": "".join(parts)}
        if tool:
            block = {
                "type": "tool_use",
                "id": "t",
                "name": "o",
                "input": json.loads("".join(parts)),
            }
        told = {**usage, "output_tokens": 5}
        whole = {**message, "content": [block], "stop_reason": finish, "usage": told}
        return answering_json(json.dumps(whole))
    kind = "input_json_delta" if tool else "text_delta"
    field = "partial_json" if tool else "text"
    opened: dict[str, Any] = {"type": "text", "text": ""}
    if tool:
        opened = {"type": "tool_use", "id": "t", "name": "o", "input": {}}
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": kind, field: part}}
        for part in parts
    ]
    start = {**message, "content": [], "stop_reason": None, "usage": usage}
    return streaming(
        events(
            {"type": "message_start", "message": start},
            {"type": "ping"},
            {"type": "content_block_start", "index": 0, "content_block": opened},
            *deltas,
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": finish},
                "usage": {"output_tokens": 5},
            },
            {"type": "message_stop"},
            named=True,
        )
    )


def gives(provider: str, value: Any, *, stream: bool = True) -> Answer:
    """Answer with structured output, in the form of the API."""
    text = json.dumps(value)
    if provider == "openai":
        return says(provider, text, stream=stream)
    parts = [text[:3], text[3:]]
    return _anthropic(parts, "tool_use", stream=stream, tool=True)


def in_turn(*answers: Answer) -> Answer:
    """Give each answer once, the last one for ever."""
    left = list(answers)

    async def answer(writer: asyncio.StreamWriter) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(writer)

    return answer


def counting(call: TaskCall) -> tuple[TaskCall, list[int]]:
    """Return the call and a list that grows with each sign of progress."""
    seen: list[int] = []
    return replace(call, progress=lambda: seen.append(1)), seen
