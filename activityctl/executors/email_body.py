"""The fields of the `email` task, with the checks that need no network."""

import re
from email.errors import MessageError
from email.headerregistry import Address
from typing import Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    WithJsonSchema,
    model_validator,
)

from activityctl.domain.values.model import JsonValue, Manifest
from activityctl.domain.values.text import TEXT_SCHEMA, FilledText, Text
from activityctl.executors.sql import Connection

MAX_RECIPIENTS: Final = 100
_CONTROL: Final = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]")
_DOMAIN: Final = re.compile(r"[^\s@.\[\]]+(\.[^\s@.\[\]]+)*|\[[0-9A-Fa-f.:]+\]")
_NAMED: Final = re.compile(r"\s*(?P<name>[^<>]*?)\s*<(?P<address>[^<>]+)>\s*")
_TYPE: Final = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")


def one_line(text: str) -> str:
    """Return the text; raise ValueError if it could begin another header."""
    if _CONTROL.search(text):
        raise ValueError("must not contain line ends or other control characters")
    return text


def read_address(text: str) -> Address:
    """Return the address of `ada@example.com` or `Ada <ada@example.com>`; raise ValueError."""
    one_line(text)
    named = _NAMED.fullmatch(text)
    name, spec = (named["name"].strip('"'), named["address"]) if named else ("", text.strip())
    local, _, domain = spec.rpartition("@")
    if not local or not _DOMAIN.fullmatch(domain):
        raise ValueError(f"{text[:80]!r} is not an address; write ada@example.com")
    try:
        return Address(name, addr_spec=spec) if spec.isascii() else Address(name, local, domain)
    except (MessageError, ValueError, IndexError):
        raise ValueError(f"{text[:80]!r} is not an address; write ada@example.com") from None


def _address(text: str) -> str:
    read_address(text)
    return text


def _media_type(text: str) -> str:
    if not _TYPE.fullmatch(text) or text.startswith(("multipart/", "message/")):
        raise ValueError("should be a media type such as text/csv")
    return text


def _file_name(text: str) -> str:
    if "/" in text or "\\" in text:
        raise ValueError("should be the name of a file, without folders")
    return one_line(text)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


EmailAddress = Annotated[FilledText, AfterValidator(_address)]
Recipients = Annotated[
    list[EmailAddress],
    BeforeValidator(_listed),
    Field(max_length=MAX_RECIPIENTS),
    WithJsonSchema(
        {"anyOf": [TEXT_SCHEMA, {"type": "array", "items": TEXT_SCHEMA, "maxItems": 100}]}
    ),
]
Line = Annotated[Text, AfterValidator(one_line)]


class Attachment(Manifest):
    """A file of the message: exactly one of text, base64 and json is its content."""

    name: Annotated[FilledText, AfterValidator(_file_name)] = Field(
        description="The name of the file.", examples=["orders.csv"]
    )
    content_type: Annotated[FilledText, AfterValidator(_media_type)] | None = Field(
        default=None,
        description="The media type. Default: text/plain, application/json or "
        "application/octet-stream, by the content.",
        examples=["text/csv"],
    )
    text: Text | None = Field(
        default=None, description="The content as text.", examples=["${ tasks.make.output.stdout }"]
    )
    base64: Text | None = Field(
        default=None, description="The content in Base64.", examples=["aGVsbG8="]
    )
    json_value: JsonValue = Field(
        default=None,
        alias="json",
        description="The content as JSON.",
        examples=["${ tasks.orders.output.rows }"],
    )

    @model_validator(mode="after")
    def _has_one_content(self) -> Self:
        given = {"text", "base64", "json_value"} & self.model_fields_set
        if len(given) != 1:
            raise ValueError("exactly one of text, base64 and json is required")
        return self


class EmailBody(Manifest):
    """Sends one message to an SMTP server with TLS."""

    connection: Connection = Field(
        description="The secret whose value is the URL of the server: smtps://USER:PASSWORD@HOST "
        "for TLS from the start, smtp://USER:PASSWORD@HOST for STARTTLS.",
        examples=[{"secretRef": "mail"}],
    )
    sender: EmailAddress = Field(
        alias="from", description="Who sends it.", examples=["Reports <reports@example.com>"]
    )
    to: Recipients = Field(
        description="Who gets it: one address or a list.", examples=[["ada@example.com"]]
    )
    cc: Recipients = Field(
        default=[], description="Who gets a copy.", examples=[["team@example.com"]]
    )
    bcc: Recipients = Field(
        default=[],
        description="Who gets a copy that the others do not see.",
        examples=[["audit@example.com"]],
    )
    reply_to: EmailAddress | None = Field(
        default=None, description="Where answers go.", examples=["help@example.com"]
    )
    subject: Line = Field(description="The subject.", examples=["Report of ${ run.id }"])
    text: Text | None = Field(
        default=None, description="The message as text.", examples=["All is well."]
    )
    html: Text | None = Field(
        default=None,
        description="The message as HTML; with text too, the reader's program chooses. Values are "
        "not escaped.",
        examples=["<p>All is well.</p>"],
    )
    attachments: list[Attachment] = Field(
        default=[],
        description="Files of the message.",
        max_length=20,
        examples=[[{"name": "a.txt", "text": "a"}]],
    )

    @model_validator(mode="after")
    def _can_be_sent(self) -> Self:
        if self.text is None and self.html is None:
            raise ValueError("text or html is required")
        recipients = [*self.to, *self.cc, *self.bcc]
        if not 0 < len(recipients) <= MAX_RECIPIENTS:
            raise ValueError(f"a message has 1 to {MAX_RECIPIENTS} recipients")
        return self
