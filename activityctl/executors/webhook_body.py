"""The fields of the `webhook` task: an executor behind hooks."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from activityctl.domain.chain.address import Address
from activityctl.domain.chain.hook_signatures import SignatureProfile
from activityctl.domain.values.model import Manifest
from activityctl.domain.values.text import LITERAL_SCHEMA
from activityctl.errors import DestinationForbiddenError
from activityctl.executors.address import parse_url
from activityctl.executors.relayed_body import KeyName, RelayedBody


def _base_url(text: str) -> str:
    try:
        parse_url(text)
    except DestinationForbiddenError as error:
        hint = f"; {error.hint}" if error.hint else ""
        raise ValueError(f"{error.message}{hint}") from None
    parts = urlsplit(text)
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise ValueError("should have no query and no fragment: /kernel/trigger is added to it")
    return text.rstrip("/")


class _Service(Manifest):
    """Where the executor is, and how requests and responses are signed."""

    base_url: Annotated[str, AfterValidator(_base_url)] = Field(
        alias="baseURL",
        description="Where the executor's service is; /kernel/trigger and /kernel/executed are "
        "added to it.",
        examples=["https://executor.example"],
        json_schema_extra=LITERAL_SCHEMA,
    )
    registry_id: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        alias="registryID",
        description="The executor's id, which requests carry as executorID.",
        examples=["1fcc089a-9faf-40e9-9ec8-3e34d2f4614f"],
        json_schema_extra=LITERAL_SCHEMA,
    )
    executor_address: Address = Field(
        description="The address that signs the executor's calls.",
        examples=["0xd1f745f0d14918a2c1e31153f2492891e4526ea4"],
        json_schema_extra=LITERAL_SCHEMA,
    )
    hmac_key: KeyName = Field(
        description="The name of the key of the kind hmac that both sides know; see "
        "`activityctl keys`.",
        examples=["rebalancer"],
        json_schema_extra=LITERAL_SCHEMA,
    )
    verify_payload: bool = Field(
        default=True,
        description="Whether the response must be signed. Default: true.",
        examples=[True],
    )
    signatures: SignatureProfile = Field(
        default=SignatureProfile.BOTH,
        strict=False,
        description="`builder-kit` signs the request id in the field signature. "
        "`standard-webhooks` signs the whole body in headers, and wants the same of responses. "
        "`both` sends both; a response needs the field, and its headers are checked if it has "
        "them. Default: both.",
        examples=["standard-webhooks"],
    )


class WebhookBody(RelayedBody, _Service):
    """Triggers an executor's service, checks its answer, and tells it what became of it."""
