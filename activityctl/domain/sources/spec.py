"""EventSourceSpec: how requests of one sender become events, as YAML has it."""

from typing import Final, Literal

from pydantic import ConfigDict, Field

from activityctl.domain.sources.verification import Verification
from activityctl.domain.values.model import JsonValue, Manifest
from activityctl.domain.values.text import Text

BodyForm = Literal["json", "form", "text"]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
_MOST_CHALLENGES: Final = 10


class Challenge(Manifest):
    """A request that only wants an answer, with which a sender checks the address."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "when": 'request.body.type == "url_verification"',
                    "answer": "${ request.body.challenge }",
                }
            ]
        }
    )

    when: str = Field(
        description="A CEL expression over `request`. The request is a challenge if it is true; "
        "it is none if it cannot be evaluated.",
        examples=['request.method == "GET" && "hub.challenge" in request.query'],
    )
    answer: JsonValue = Field(
        description="The answer: a text is sent as text/plain, a map or a list as JSON.",
        examples=['${ request.query["hub.challenge"] }'],
    )
    verified: bool = Field(
        default=True,
        description="Whether the request must be verified as all others. Write false if the "
        "sender does not sign its challenges.",
        examples=[False],
    )


class EventMapping(Manifest):
    """How the events are made of a request; each field may have `${ … }` over `request`."""

    for_each: str | None = Field(
        default=None,
        description="A list in the request: each of its items is one event, and `item` is the "
        "item. All are stored, or none. An empty list is no event.",
        examples=["${ request.body.events }"],
    )
    id: Text | None = Field(
        default=None,
        description="Unique within the source. The same id with other content is a conflict. "
        "Default: the webhook-id of Standard Webhooks, else a hash of method, query and body, so "
        "that a request that is sent twice is one event.",
        examples=['${ request.headers["x-github-delivery"] }'],
    )
    source: Text | None = Field(
        default=None,
        description="The source of the event. Default: /v1/sources/ and the name of this source.",
        examples=["https://git.example/${ request.body.repository.full_name }"],
    )
    type: Text | None = Field(
        default=None,
        description="The type of the event. Default: the name of this source and .received",
        examples=['code.${ request.headers["x-github-event"] }'],
    )
    subject: Text | None = Field(
        default=None,
        description="What the event is about; null for nothing.",
        examples=["${ request.body.ref }"],
    )
    time: Text | None = Field(
        default=None,
        description="When it happened: RFC 3339, or a number of seconds since 1970. Default: when "
        "the request comes.",
        examples=["${ request.body.created }"],
    )
    data: JsonValue = Field(
        default=None,
        description="The payload of the event. Default: the item of forEach, else the body.",
        examples=["${ request.body }"],
    )


class EventSourceSpec(Manifest):
    """How requests of one sender are verified, and how they become events."""

    description: str = Field(
        default="", description="What it receives, for people.", examples=["Pushes to our code."]
    )
    verify: Verification = Field(
        description="How a request is verified.",
        examples=[
            {
                "hmac": {
                    "header": "x-hub-signature-256",
                    "prefix": "sha256=",
                    "secret": {"secretRef": "code-host-hook"},
                }
            }
        ],
    )
    methods: tuple[Method, ...] = Field(
        default=("POST",),
        strict=False,
        min_length=1,
        max_length=5,
        description="The methods of requests that are events.",
        examples=[["POST", "PUT"]],
    )
    body: BodyForm | None = Field(
        default=None,
        description="How the body is read: as JSON, as the fields of a form, or as text. Default: "
        "what the request's Content-Type says.",
        examples=["json"],
    )
    challenges: tuple[Challenge, ...] = Field(
        default=(),
        strict=False,
        max_length=_MOST_CHALLENGES,
        description="Requests that are answered at once and are no events.",
    )
    when: str | None = Field(
        default=None,
        description="A CEL expression over `request`. If it is false, the request is accepted and "
        "ignored. Default: every request is an event.",
        examples=['request.headers["x-github-event"] != "ping"'],
    )
    event: EventMapping = Field(
        default=EventMapping(),
        description="How the event is made of the request.",
        examples=[{"type": "code.pushed", "subject": "${ request.body.ref }"}],
    )
