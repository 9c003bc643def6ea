"""The on-chain account of a subscription: what was paid in, and what may be spent."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final

from pydantic import AfterValidator, Field

from activityctl.domain.chain.address import ZERO_ADDRESS, Address
from activityctl.domain.chain.amounts import WholeTokens, WholeUnits
from activityctl.domain.chain.moments import chain_timestamp
from activityctl.domain.chain.policy_fields import NarrowedPolicy
from activityctl.domain.values.model import JsonValue, Manifest

ACTIVE: Final = 2
CANCELLED: Final = 4
"""The statuses of a subscription in the Builder Kit."""
_HASH: Final = re.compile("0x[0-9a-fA-F]{64}")
_NO_HASH: Final = "0x" + 64 * "0"


def _hash(text: str) -> str:
    if not _HASH.fullmatch(text):
        raise ValueError("is not a hash: write 0x and 64 hex digits, in quotes")
    return text


class Account(Manifest):
    """The account that a subscription works for, as the Builder Kit describes it."""

    chain_id: int = Field(ge=1, description="The chain's number.", examples=[8453])
    sub_account_address: Address = Field(
        description="The account.", examples=["0x8a17fe295bf517fbc148f565e5d6a2fe4f930cba"]
    )
    commit_hash: Annotated[str, AfterValidator(_hash)] = Field(
        default=_NO_HASH,
        description="The hash of the policy that the account's owner has committed to.",
        examples=["0xae0205e59170df2e64e1fb3ffbe65d83538aeae38e5e63d9b306dc2dd5862828"],
    )
    duration: int = Field(
        default=0, ge=0, description="For how many days it was subscribed.", examples=[30]
    )
    fee_amount: WholeUnits = Field(
        default="0", description="The fee, in the smallest unit of the token.", examples=["0"]
    )
    fee_token: Address = Field(
        default=ZERO_ADDRESS,
        description="The token of the fee.",
        examples=["0xaf88d065e77c8cc2239327c5edb3a432268e5831"],
    )
    metadata: dict[str, JsonValue] | None = Field(
        default=None,
        description="What the executor gets as the subscription's metadata. Default: the params.",
        examples=[{"every": "30"}],
    )
    token_inputs: dict[Address, WholeUnits] = Field(
        default={},
        description="What was paid in, in the smallest unit, by token.",
        examples=[{"0x4200000000000000000000000000000000000006": "800000000000000"}],
    )
    token_limits: dict[Address, WholeTokens] = Field(
        default={},
        description="What may be spent, in whole tokens, by token.",
        examples=[{"0x4200000000000000000000000000000000000006": "0.0008"}],
    )
    policy: NarrowedPolicy | None = Field(
        default=None,
        description="What executions may do for this account. It only narrows the policy of the "
        "definition.",
        examples=[{"maxValue": "0"}],
    )


def subscription_object(
    account: Account,
    *,
    key: str,
    registry_id: str,
    created_at: datetime,
    is_cancelled: bool,
    params: Mapping[str, JsonValue],
) -> dict[str, JsonValue]:
    """Return the whole `subscription` of a hook, with the names and types of the text."""
    return {
        "chainId": account.chain_id,
        "commitHash": account.commit_hash,
        "createdAt": chain_timestamp(created_at),
        "duration": account.duration,
        "feeAmount": account.fee_amount,
        "feeToken": account.fee_token,
        "id": key,
        "metadata": dict(params) if account.metadata is None else account.metadata,
        "registryId": registry_id,
        "status": CANCELLED if is_cancelled else ACTIVE,
        "subAccountAddress": account.sub_account_address,
        "tokenInputs": dict(account.token_inputs),
        "tokenLimits": dict(account.token_limits),
    }
