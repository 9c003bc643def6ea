"""The fields of the `webhook` task: an executor behind hooks."""

import re
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from activityctl.domain.chain.address import Address
from activityctl.domain.chain.field_set import FieldSet
from activityctl.domain.chain.hook_signatures import SignatureProfile
from activityctl.domain.chain.policy_fields import ExecutionPolicy
from activityctl.domain.chain.relay_fields import RelayFields
from activityctl.domain.values.model import NAME_PATTERN, Manifest
from activityctl.domain.values.text import LITERAL_SCHEMA
from activityctl.errors import DestinationForbiddenError
from activityctl.executors.address import parse_url

_NAME: Final = re.compile(NAME_PATTERN)


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


def _key_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("is not the name of a key: use a-z, 0-9 and -, at most 63 characters")
    return text


KeyName = Annotated[str, AfterValidator(_key_name)]


class WebhookBody(Manifest):
    """Triggers an executor's service, checks its answer, and tells it what became of it."""

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
    plugin: Address | None = Field(
        default=None,
        description="The contract that checks the executor's signature and lets the account make "
        "the call. Without it nothing is relayed.",
        examples=["0xb92929d03768a4f8d69552e15a8071eafee73df9"],
    )
    field_set: FieldSet = Field(
        default=FieldSet.SDK_12,
        alias="fields",
        strict=False,
        description="Which fields the executor signs: `sdk-12` as the SDKs do, `audited-7` as the "
        "audited contracts do. Default: sdk-12.",
        examples=["audited-7"],
    )
    autosign: KeyName | None = Field(
        default=None,
        description="The name of the key of the kind executor with which activityctl signs a call "
        "if the response has no executorSignature. Default: the executor has to sign.",
        examples=["rebalancer-signer"],
    )
    policy: ExecutionPolicy | None = Field(
        default=None,
        description="Which calls are relayed, and how much they may spend. Default: none is.",
        examples=[{"targets": ["0x4200000000000000000000000000000000000006"]}],
    )
    relay: RelayFields | None = Field(
        default=None,
        description="How allowed calls are sent. Default: none is.",
        examples=[{"relayers": ["relayer-1"], "confirmations": 2}],
    )

    @model_validator(mode="after")
    def _has_plugin(self) -> Self:
        if self.relay is not None and self.plugin is None:
            raise ValueError("has relay, and no plugin to send the calls to")
        return self
