"""The fields of the `ai` task, with the checks that need no network."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, model_validator

from activityctl.domain.tasks.model_address import base_url_of
from activityctl.domain.values.model import JsonValue, Manifest, is_written
from activityctl.domain.values.secret_ref import SecretText
from activityctl.domain.values.text import FilledText, Text
from activityctl.errors import DestinationForbiddenError
from activityctl.executors.address import parse_url

MAX_SCHEMA_CHARACTERS: Final = 64 * 1024
RESERVED_OPTIONS: Final = frozenset(
    {"max_completion_tokens", "max_tokens", "messages", "model", "n", "stream", "stream_options"}
    | {"system", "temperature"}
)
"""Fields of the request that activityctl sets from fields of its own."""


def _base_url(text: str) -> str:
    try:
        url = parse_url(text)
    except DestinationForbiddenError as error:
        hint = f"; {error.hint}" if error.hint else ""
        raise ValueError(f"{error.message}{hint}") from None
    if url.query or url.fragment:
        raise ValueError("should have neither a query nor a fragment")
    return text


def _schema(schema: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    if not schema:
        raise ValueError("should not be empty")
    if len(json.dumps(schema, default=str)) > MAX_SCHEMA_CHARACTERS:
        raise ValueError(f"should have at most {MAX_SCHEMA_CHARACTERS:,} characters as JSON")
    if is_written(info):
        from activityctl.domain.manifests.params import check_schema

        for finding in check_schema(schema):
            place = ".".join(map(str, finding.path))
            reason = finding.reason.replace("because params are", "because the answer is")
            raise ValueError(f"{place}: {reason}" if place else reason)
    return schema


def _options(options: dict[str, Any]) -> dict[str, Any]:
    if taken := sorted(RESERVED_OPTIONS & options.keys()):
        raise ValueError(f"{taken[0]} is set by activityctl; use the fields of the task")
    return options


class AiMessage(Manifest):
    """One message of a conversation."""

    role: Literal["user", "assistant"] = Field(description="Who says it.", examples=["user"])
    content: Text = Field(description="What is said.", examples=["Is this order plausible?"])


class AiOutput(Manifest):
    """Asks for JSON instead of text."""

    schema_: Annotated[dict[str, Any], AfterValidator(_schema)] = Field(
        alias="schema",
        description="A JSON Schema (draft 2020-12) of an object. The answer is checked against "
        "it; an answer that does not fit is asked for once more, with the error.",
        examples=[{"type": "object", "properties": {"score": {"type": "number"}}}],
    )
    method: Literal["native", "prompt"] = Field(
        default="native",
        description="How the model learns the schema: `native` by the structured output of the "
        "API (with anthropic: a tool that the model must use), `prompt` by the system prompt, "
        "for servers and models that have no structured output. Default: native.",
        examples=["prompt"],
    )


class AiPrice(Manifest):
    """What the tokens cost, in US dollars."""

    input_per_million: float = Field(
        ge=0, description="The price of a million input tokens.", examples=[2.5]
    )
    output_per_million: float = Field(
        ge=0, description="The price of a million output tokens.", examples=[10]
    )


class AiBody(Manifest):
    """Asks a model. An answer may have 1 MiB."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
                for name in ("prompt", "messages")
            ]
        }
    )

    provider: Literal["openai", "anthropic"] = Field(
        description="The API that the server speaks: `openai` (chat completions; many local "
        "servers speak it too) or `anthropic` (messages).",
        examples=["openai"],
    )
    model: FilledText = Field(
        description="The name of the model, as the server knows it.", examples=["gpt-5-mini"]
    )
    base_url: Annotated[Text, AfterValidator(_base_url)] | None = Field(
        default=None,
        description="Where the API is: of openai with /v1 at its end, of anthropic without. "
        "Default: the address of the provider.",
        examples=["http://localhost:11434/v1"],
    )
    api_key: SecretText | None = Field(
        default=None,
        description="The key, as {secretRef: NAME}. Default: none is sent.",
        examples=[{"secretRef": "openai-key"}],
    )
    system: Text | None = Field(
        default=None,
        description="What the model must know and follow.",
        examples=["You review orders."],
    )
    prompt: Text | None = Field(
        default=None,
        description="The question. Either `prompt` or `messages` is required.",
        examples=["Is this order plausible? ${ event.data.order }"],
    )
    messages: Annotated[list[AiMessage], Field(min_length=1, max_length=1_000)] | None = Field(
        default=None,
        description="A conversation, in place of `prompt`; the first message is of the user.",
        examples=[[{"role": "user", "content": "Is this order plausible?"}]],
    )
    temperature: float | None = Field(
        default=None,
        ge=0,
        le=2,
        description="How much chance there is in the answer. Default: that of the server.",
        examples=[0],
    )
    max_tokens: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="The most tokens of an answer. Default: that of the server; with anthropic "
        "4096.",
        examples=[1000],
    )
    output: AiOutput | None = Field(
        default=None,
        description="Asks for JSON that fits a schema. Values are not put into it: "
        "`${ … }` is not evaluated. Default: text.",
        examples=[{"schema": {"type": "object"}}],
    )
    options: Annotated[dict[str, JsonValue], AfterValidator(_options)] = Field(
        default={},
        description="Further fields of the request, as the API names them.",
        examples=[{"reasoning_effort": "low"}],
    )
    stream: bool = Field(
        default=True,
        description="Whether the answer comes piece by piece, which keeps long answers alive and "
        "reports progress for `timeout.heartbeat`. The output is the same. Default: true.",
        examples=[False],
    )
    price: AiPrice | None = Field(
        default=None,
        description="The price of the model; with it the output has `costUsd`.",
        examples=[{"inputPerMillion": 2.5, "outputPerMillion": 10}],
    )

    @model_validator(mode="after")
    def _has_one_question(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("exactly one of prompt and messages is required")
        if self.messages is not None and self.messages[0].role != "user":
            raise ValueError("the first of messages should have the role user")
        if self.messages is not None and self.messages[-1].role != "user":
            raise ValueError("the last of messages should have the role user")
        return self

    @property
    def address(self) -> str:
        """Where the API is, without a slash at the end."""
        return base_url_of(self.provider, self.base_url).rstrip("/")

    @property
    def conversation(self) -> list[Mapping[str, str]]:
        """The messages, as both APIs take them."""
        if self.messages is None:
            return [{"role": "user", "content": self.prompt or ""}]
        return [{"role": said.role, "content": said.content} for said in self.messages]
