"""The fields of tasks whose calls are relayed: who signs, what is allowed, how it is sent."""

import re
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator

from activityctl.domain.chain.address import Address
from activityctl.domain.chain.field_set import FieldSet
from activityctl.domain.chain.policy_fields import ExecutionPolicy
from activityctl.domain.chain.relay_fields import RelayFields
from activityctl.domain.values.model import NAME_PATTERN, Manifest

_NAME: Final = re.compile(NAME_PATTERN)


def _key_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("is not the name of a key: use a-z, 0-9 and -, at most 63 characters")
    return text


KeyName = Annotated[str, AfterValidator(_key_name)]


class RelayedBody(Manifest):
    """What tasks of the kinds webhook and python say about their calls."""

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
        "if the answer has no executorSignature. Default: the executor has to sign.",
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
