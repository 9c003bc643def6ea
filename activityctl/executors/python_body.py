"""The fields of the `python` task: a strategy, and what it may do for an on-chain account."""

import re
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator

from activityctl.domain.chain.address import Address
from activityctl.domain.values.model import Manifest
from activityctl.domain.values.secret_ref import SecretText
from activityctl.domain.values.text import LITERAL_SCHEMA
from activityctl.executors.relayed_body import RelayedBody
from activityctl.ports import JsonValue

_NAME: Final = re.compile(r"[A-Za-z][\w.-]*(:[A-Za-z_][\w.]*)?")
_NEEDING: Final = ("registry_id", "plugin", "field_set", "autosign", "policy", "relay")


def _strategy(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("should be the name of a strategy, or module:Class")
    return name


class _Strategy(Manifest):
    """Which strategy runs, and with what."""

    strategy: Annotated[str, AfterValidator(_strategy)] = Field(
        description="The name of an entry point in the group activityctl.strategies, or "
        "module:Class.",
        examples=["my_package.strategies:Rebalance"],
        json_schema_extra=LITERAL_SCHEMA,
    )
    request: JsonValue = Field(
        default=None,
        description="What the strategy gets as its request.",
        examples=[{"portfolio": "${ params.portfolio }"}],
    )
    secrets: dict[str, SecretText] = Field(
        default={},
        description="Values for context.secrets, by name.",
        examples=[{"apiKey": {"secretRef": "exchange-key"}}],
    )
    executor_address: Address | None = Field(
        default=None,
        description="The address that signs the strategy's calls. With it the strategy may return "
        "an Executable. Default: it may not.",
        examples=["0xd1f745f0d14918a2c1e31153f2492891e4526ea4"],
        json_schema_extra=LITERAL_SCHEMA,
    )
    registry_id: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None,
        alias="registryID",
        description="The executor's id in the log. Default: the name of the strategy.",
        examples=["1fcc089a-9faf-40e9-9ec8-3e34d2f4614f"],
        json_schema_extra=LITERAL_SCHEMA,
    )


class PythonBody(RelayedBody, _Strategy):
    """Runs a strategy: a class written in Python that is installed on the worker."""

    @model_validator(mode="after")
    def _has_executor(self) -> Self:
        if self.executor_address is not None:
            return self
        for name in _NEEDING:
            if name in self.model_fields_set and getattr(self, name) is not None:
                written = type(self).model_fields[name].alias or name
                raise ValueError(f"has {written}, and no executorAddress that makes calls")
        return self
