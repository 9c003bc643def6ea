"""Asks models by the official clients of their APIs, and reads the answers into one form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from activityctl.frozen_dataclass import frozen_dataclass

if TYPE_CHECKING:
    import httpx2

Finish = Literal["stop", "length", "refused", "other"]
MODULES: Final[Mapping[str, tuple[str, str]]] = {
    "openai": ("openai", "openai.resources.chat.completions"),
    "anthropic": ("anthropic", "anthropic.resources.messages"),
}
"""The library of each provider, and the module of it that a call uses."""
DEFAULT_MAX_TOKENS: Final = 4096
"""Of anthropic, whose API requires a number."""
_NO_KEY: Final = "not-here"
"""The clients want a key; the real one is added by the transport."""
_TOOL: Final = "give_output"
_OPENAI: Final = "api.openai.com"


@frozen_dataclass
class Question:
    """One request to a model."""

    model: str
    system: str | None
    messages: Sequence[Mapping[str, str]]
    temperature: float | None
    max_tokens: int | None
    options: Mapping[str, Any]
    schema: Mapping[str, Any] | None
    """For structured output by the API; None if the prompt asks for JSON, or for text."""
    is_stream: bool

    def again(self, answer: str, demand: str) -> "Question":
        """Return the question after an answer that does not do."""
        said = {"role": "assistant", "content": answer or "(no answer)"}
        more = [*self.messages, said, {"role": "user", "content": demand}]
        return replace(self, messages=more)


@dataclass(slots=True)
class Answer:
    """What a model has answered, whichever API it has."""

    text: str = ""
    model: str | None = None
    reason: str | None = None
    """Why it ended, in the words of the API; None if the answer is not complete."""
    refusal: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None

    @property
    def finish(self) -> Finish:
        """Why it ended."""
        if self.refusal or self.reason in {"content_filter", "refusal"}:
            return "refused"
        if self.reason in {"length", "max_tokens", "model_context_window_exceeded"}:
            return "length"
        is_whole = self.reason in {"end_turn", "stop", "stop_sequence", "tool_use"}
        return "stop" if is_whole else "other"


async def ask(
    provider: str, address: str, question: Question, client: "httpx2.AsyncClient"
) -> Answer:
    """Return the answer of a model; raise what the client raises."""
    if provider == "anthropic":
        return await _ask_anthropic(address, question, client)
    return await _ask_openai(address, question, client)


async def _ask_openai(address: str, question: Question, client: "httpx2.AsyncClient") -> Answer:
    from openai import AsyncOpenAI

    api = AsyncOpenAI(
        api_key=_NO_KEY, base_url=address, http_client=client, max_retries=0, timeout=None
    )
    system = [] if question.system is None else [{"role": "system", "content": question.system}]
    fields: dict[str, Any] = {
        "model": question.model,
        "messages": [*system, *question.messages],
        "extra_body": dict(question.options),
    }
    if question.temperature is not None:
        fields["temperature"] = question.temperature
    if question.max_tokens is not None:  # other servers know the older name alone
        is_openai = api.base_url.host == _OPENAI
        name = "max_completion_tokens" if is_openai else "max_tokens"
        fields[name] = question.max_tokens
    if question.schema is not None:
        form = {"name": _TOOL, "schema": question.schema}
        fields["response_format"] = {"type": "json_schema", "json_schema": form}
    if not question.is_stream:
        return _openai_answer(await api.chat.completions.create(**fields))
    options = {"include_usage": True}
    stream = await api.chat.completions.create(stream=True, stream_options=options, **fields)
    return await _openai_stream(stream)


def _openai_answer(completion: Any) -> Answer:
    choice, usage = completion.choices[0], completion.usage
    return Answer(
        choice.message.content or "",
        completion.model,
        choice.finish_reason,
        choice.message.refusal or "",
        None if usage is None else usage.prompt_tokens,
        None if usage is None else usage.completion_tokens,
    )


async def _openai_stream(stream: Any) -> Answer:
    answer, texts, refusals = Answer(), [], []
    async for chunk in stream:
        answer.model = chunk.model or answer.model
        if chunk.usage is not None:
            answer.input_tokens = chunk.usage.prompt_tokens
            answer.output_tokens = chunk.usage.completion_tokens
        for choice in chunk.choices or ():
            if choice.delta is not None:
                texts.append(choice.delta.content or "")
                refusals.append(choice.delta.refusal or "")
            answer.reason = choice.finish_reason or answer.reason
    answer.text, answer.refusal = "".join(texts), "".join(refusals)
    return answer


async def _ask_anthropic(address: str, question: Question, client: "httpx2.AsyncClient") -> Answer:
    from anthropic import AsyncAnthropic

    api = AsyncAnthropic(
        api_key=_NO_KEY,
        base_url=address,
        http_client=client,
        max_retries=0,
        timeout=None,
        open_telemetry=False,  # a prompt must not get into traces
    )
    fields: dict[str, Any] = {
        "model": question.model,
        "messages": list(question.messages),
        "max_tokens": question.max_tokens or DEFAULT_MAX_TOKENS,
        "extra_body": dict(question.options),
    }
    if question.system is not None:
        fields["system"] = question.system
    if question.temperature is not None:  # some models refuse the field
        fields["extra_body"]["temperature"] = question.temperature
    if question.schema is not None:
        description = "Gives the answer."
        fields["tools"] = [
            {"name": _TOOL, "description": description, "input_schema": dict(question.schema)}
        ]
        fields["tool_choice"] = {"type": "tool", "name": _TOOL}
    created = await api.messages.create(stream=question.is_stream, **fields)
    return await _anthropic_stream(created) if question.is_stream else _anthropic_answer(created)


def _anthropic_answer(message: Any) -> Answer:
    import json

    tools = [json.dumps(block.input) for block in message.content if block.type == "tool_use"]
    texts = [block.text for block in message.content if block.type == "text"]
    return Answer(
        tools[0] if tools else "".join(texts),
        message.model,
        message.stop_reason,
        "",
        _input_tokens(message.usage),
        message.usage.output_tokens,
    )


async def _anthropic_stream(stream: Any) -> Answer:
    answer, texts, tools = Answer(), [], []
    async for event in stream:
        match event.type:
            case "message_start":
                answer.model = event.message.model
                answer.input_tokens = _input_tokens(event.message.usage)
                answer.output_tokens = event.message.usage.output_tokens
            case "content_block_delta" if event.delta.type == "text_delta":
                texts.append(event.delta.text)
            case "content_block_delta" if event.delta.type == "input_json_delta":
                tools.append(event.delta.partial_json)
            case "message_delta":
                answer.reason = event.delta.stop_reason or answer.reason
                answer.output_tokens = event.usage.output_tokens
    answer.text = "".join(tools) or "".join(texts)
    return answer


def _input_tokens(usage: Any) -> int:
    """Return all input tokens; the API counts those of its cache apart."""
    cached = (usage.cache_creation_input_tokens, usage.cache_read_input_tokens)
    return int(usage.input_tokens) + sum(count or 0 for count in cached)
