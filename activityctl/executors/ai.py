"""The `ai` task: asks a model for text, or for JSON that fits a schema."""

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Final

from pydantic import BaseModel

from activityctl.domain.values.untrusted import parse_storable_json, printable
from activityctl.errors import TaskError
from activityctl.executors.address import parse_url
from activityctl.executors.ai_body import AiBody, AiPrice
from activityctl.executors.http_parts import check_header_value
from activityctl.executors.models import MODULES, Answer, Question, ask
from activityctl.executors.request import host_of
from activityctl.ports import ExecutorOutcome, JsonValue, TaskCall

if TYPE_CHECKING:
    import httpx

    from activityctl.executors.model_transport import ModelTransport

MAX_CALLS_AT_ONCE: Final = 50
MAX_TEXT_BYTES: Final = 1024 * 1024
_ASKED_AT_MOST: Final = 2
_QUOTED: Final = 500
_REPEATED: Final = 20_000
"""How many characters of an answer that does not fit the model sees again."""
_SHOWN_FINDINGS: Final = 5
_OVERLOADED: Final = ("overloaded_error", "rate_limit_error", "rate_limit_exceeded")


@dataclass(slots=True)
class _Usage:
    """The tokens of all requests of an attempt; None as soon as a server does not tell them."""

    input: int | None = 0
    output: int | None = 0
    requests: int = 0

    def add(self, answer: Answer) -> None:
        """Add the tokens of an answer."""
        self.requests += 1
        self.input = _sum(self.input, answer.input_tokens)
        self.output = _sum(self.output, answer.output_tokens)

    def json(self, price: AiPrice | None) -> dict[str, JsonValue]:
        """Return `usage`, and `costUsd` if there is a price."""
        told: dict[str, JsonValue] = {
            "usage": {
                "inputTokens": self.input,
                "outputTokens": self.output,
                "totalTokens": _sum(self.input, self.output),
                "requests": self.requests,
            }
        }
        if price is not None:
            told["costUsd"] = None
            if self.input is not None and self.output is not None:
                cost = self.input * price.input_per_million + self.output * price.output_per_million
                told["costUsd"] = round(cost / 1_000_000, 9)
        return told


class AiExecutor:
    """Sends one request for each attempt, or two if the first answer does not fit the schema.

    Output: `text`, or else `json` with a schema; `model` (as the server names it), `finishReason`
    (in the words of the API), `truncated`, `usage` (`inputTokens`, `outputTokens`, `totalTokens`,
    `requests`), `costUsd` with a price, `durationMs`. That of a failed attempt has at least
    `usage`.
    """

    kind: ClassVar[str] = "ai"
    body: ClassVar[type[BaseModel]] = AiBody
    reports_progress: ClassVar[bool] = True

    def __init__(self, transport: "httpx.AsyncBaseTransport") -> None:
        self._transport = transport
        self._slots = asyncio.Semaphore(MAX_CALLS_AT_ONCE)

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.aclose()

    async def execute(self, body: AiBody, call: TaskCall) -> ExecutorOutcome:
        """Ask the model. Raises TaskError if there is no answer, or none that fits."""
        usage = _Usage()
        started = time.monotonic()
        try:
            async with asyncio.timeout(call.timeout_seconds), self._slots:
                await _load_library(body.provider)
                output = await self._converse(body, call, usage)
        except TimeoutError:
            raise TaskError(
                f"{body.provider} model {body.model}: no complete answer within "
                f"{call.timeout_seconds:g} s (timeout.startToClose)",
                code="timeout",
                output=usage.json(body.price),
            ) from None
        except TaskError as error:
            told = {**usage.json(body.price), **(error.output or {})}
            raise error.with_message(call.mask.text(error.message), told) from None
        spent = round((time.monotonic() - started) * 1000)
        return ExecutorOutcome({**output, **usage.json(body.price), "durationMs": spent})

    async def _converse(self, body: AiBody, call: TaskCall, usage: _Usage) -> dict[str, JsonValue]:
        import httpx2

        from activityctl.executors.model_transport import ModelTransport

        transport = ModelTransport(self._transport, await _wire(body, call))
        question = _question(body)
        try:
            async with httpx2.AsyncClient(transport=transport, trust_env=False) as client:
                for asked in range(1, _ASKED_AT_MOST + 1):
                    async with call.outgoing(f"{body.provider} {body.model}"):
                        answer = await _ask(body, question, client, transport, call)
                    usage.add(answer)
                    output = _output(body, answer)
                    if body.output is None:
                        return output
                    value, problem = await _value(body.output.schema_, answer.text, call)
                    if problem is None:
                        return {**output, "text": None, "json": value}
                    if asked < _ASKED_AT_MOST:
                        await call.log("warning", f"the answer is asked for again: {problem}", {})
                        demand = f"Your answer does not fit: {problem}. {_demand(body)}"
                        question = question.again(answer.text[:_REPEATED], demand)
        finally:
            await transport.close()
        message = f"the answer does not fit output.schema, also when asked again: {problem}"
        raise TaskError(message, code="invalid_output", retryable=False, output=output)


async def _load_library(provider: str) -> None:
    """Import the client in a thread: that takes a second or more, and must hold up nothing."""
    name, resources = MODULES[provider]
    if name not in sys.modules and find_spec(name) is None:
        message = f"provider {provider} needs a library: install activityctl[ai] on the worker"
        raise TaskError(message, code="not_installed", retryable=False)
    if resources not in sys.modules:
        await asyncio.to_thread(import_module, resources)


def _sum(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else first + second


async def _wire(body: AiBody, call: TaskCall) -> Any:
    from activityctl.executors.model_transport import Wire

    base = parse_url(body.address)
    headers = {"X-Activityctl-Run": call.run_id, "X-Activityctl-Attempt": str(call.attempt)}
    if body.api_key is not None:
        key = await call.secret(body.api_key, host=host_of(base))
        try:
            check_header_value(key)
        except ValueError as error:
            message = f"apiKey: {error}"
            raise TaskError(message, code="secret_unusable", retryable=False) from None
        if body.provider == "anthropic":
            headers["x-api-key"] = key
        else:
            headers["Authorization"] = f"Bearer {key}"
    return Wire(base, headers, call.idempotency_key, body.stream, call.mask, call.progress)


def _demand(body: AiBody) -> str:
    assert body.output is not None  # noqa: S101 - asked only with a schema
    schema = json.dumps(body.output.schema_, ensure_ascii=False)
    return f"Answer with JSON alone, without other text, that fits this JSON Schema: {schema}"


def _question(body: AiBody) -> Question:
    system, schema = body.system, None
    if body.output is not None and body.output.method == "native":
        schema = {"type": "object", **body.output.schema_}
    elif body.output is not None:
        system = "\n\n".join(filter(None, (system, _demand(body))))
    return Question(
        body.model,
        system,
        body.conversation,
        body.temperature,
        body.max_tokens,
        body.options,
        schema,
        body.stream,
    )


async def _ask(
    body: AiBody, question: Question, client: Any, transport: "ModelTransport", call: TaskCall
) -> Answer:
    """Return the whole answer with its secrets masked; raise TaskError if there is none."""
    try:
        answer = await ask(body.provider, body.address, question, client)
    except Exception as error:  # the clients let errors of their parsers through, too
        if transport.failure is not None:
            raise transport.failure from error
        raise _unreadable(body, error, call) from error
    if answer.reason is None:
        message = f"{_label(body)}: the answer ended before it was complete"
        raise TaskError(message, code="bad_response")
    if not isinstance(answer.text, str) or len(answer.text.encode("utf-8", "replace")) > (
        MAX_TEXT_BYTES
    ):
        message = f"{_label(body)}: the answer has more than {MAX_TEXT_BYTES:,} bytes"
        raise TaskError(message, code="response_too_large", retryable=False)
    answer.text = printable(call.mask.text(answer.text))
    answer.refusal = printable(call.mask.text(answer.refusal))
    return answer


def _unreadable(body: AiBody, error: Exception, call: TaskCall) -> TaskError:
    """Return the error for an answer that the client cannot read, or that tells of an error."""
    said = call.mask.text(str(error))
    code = "rate_limited" if any(name in said for name in _OVERLOADED) else "bad_response"
    reason = f"{type(error).__name__}: {said[:_QUOTED]}"
    message = f"{_label(body)}: the answer tells an error or cannot be read: {reason}"
    return TaskError(printable(message), code=code)


def _label(body: AiBody) -> str:
    return f"{body.provider} model {body.model}"


def _output(body: AiBody, answer: Answer) -> dict[str, JsonValue]:
    """Return the output for a text; raise TaskError for a refusal, and for JSON that is cut off."""
    if answer.finish == "refused":
        said = (answer.refusal or answer.text)[:_QUOTED] or answer.reason
        message = f"{_label(body)}: the model refuses: {said}"
        raise TaskError(message, code="refused", retryable=False)
    is_cut = answer.finish == "length"
    output: dict[str, JsonValue] = {
        "text": answer.text,
        "json": None,
        "model": answer.model if isinstance(answer.model, str) else None,
        "finishReason": answer.reason,
        "truncated": is_cut,
    }
    if is_cut and body.output is not None:
        message = f"{_label(body)}: the answer was cut off at its limit of tokens; raise maxTokens"
        raise TaskError(message, code="truncated", retryable=False, output=output)
    return output


async def _value(schema: dict[str, Any], text: str, call: TaskCall) -> tuple[JsonValue, str | None]:
    """Return the value of an answer, and what is wrong with it."""
    from activityctl.domain.manifests.params import check_params

    content = text.strip()
    if content.startswith("```") and content.endswith("```"):
        content = content[3:-3].removeprefix("json")
    try:
        value = parse_storable_json(content)
    except (ValueError, RecursionError) as error:
        return None, f"it is not JSON that can be stored: {error}"
    if not isinstance(value, dict):
        return None, "it is not a JSON object"
    findings = await call.decide(check_params, schema, value)
    if not findings:
        return value, None
    reasons = [
        f"{'.'.join(map(str, found.path)) or 'the object'}: {found.reason}"
        for found in findings[:_SHOWN_FINDINGS]
    ]
    return None, "; ".join(reasons)
