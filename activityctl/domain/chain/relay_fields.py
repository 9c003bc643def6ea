"""How a task's calls are relayed, as YAML has it."""

from datetime import timedelta
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from activityctl.domain.chain.amounts import WholeUnits
from activityctl.domain.chain.relaying import DEFAULT_CONFIRMATIONS, DEFAULT_REPLACE_AFTER
from activityctl.domain.values.duration import LimitDuration
from activityctl.domain.values.model import NAME_PATTERN, Manifest
from activityctl.domain.values.secret_ref import SecretText

_MOST_CONFIRMATIONS: Final = 10_000
_MOST_RELAYERS: Final = 100
_MOST_FEE: Final = (1 << 63) - 1
_SHORTEST: Final = timedelta(seconds=5)


def _fee(text: str) -> str:
    if int(text) > _MOST_FEE:
        raise ValueError("is larger than any fee")
    return text


def _replace_after(value: timedelta) -> timedelta:
    if value < _SHORTEST:
        raise ValueError("should be at least 5s")
    return value


def _service_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("should be a URL such as https://relay.example")
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise ValueError("should have no query and no fragment: the paths are added to it")
    return text.rstrip("/")


class RelayService(Manifest):
    """A service that relays calls, as the Builder Kit's own does."""

    url: Annotated[str, AfterValidator(_service_url)] = Field(
        description="Where the service is; /v1/automations/tasks/execute/{chainID} and "
        "/v1/relayer/tasks/status/{taskId} are added to it.",
        examples=["https://relay.example"],
    )
    api_key: SecretText | None = Field(
        default=None,
        description="What the service knows us by; it is sent as x-api-key.",
        examples=[{"secretRef": "relay-key"}],
    )


class RelayFields(Manifest):
    """Sends the calls that are allowed: by relayers of our own, or by a service."""

    relayers: (
        Annotated[
            tuple[Annotated[str, Field(pattern=NAME_PATTERN)], ...],
            Field(strict=False, min_length=1, max_length=_MOST_RELAYERS),
        ]
        | None
    ) = Field(
        default=None,
        description="The names of the keys of the kind relayer that may send. The one with the "
        "least to do sends, if it can pay for it.",
        examples=[["relayer-1", "relayer-2"]],
    )
    confirmations: int = Field(
        default=DEFAULT_CONFIRMATIONS,
        ge=0,
        le=_MOST_CONFIRMATIONS,
        description="How many blocks must follow before a transaction is done, and the executor "
        "is told. Default: 12.",
        examples=[1],
    )
    max_fee_per_gas: Annotated[WholeUnits, AfterValidator(_fee)] | None = Field(
        default=None,
        description="The most that one unit of gas may cost, in wei. While the chain asks for "
        "more, nothing is sent. Default: no limit.",
        examples=["50000000000"],
    )
    replace_after: Annotated[LimitDuration, AfterValidator(_replace_after)] = Field(
        default=DEFAULT_REPLACE_AFTER,
        description="After how long without a block a transaction is sent again with higher fees "
        "and the same nonce. Default: 1m.",
        examples=["30s"],
    )
    service: RelayService | None = Field(
        default=None,
        description="A service that sends, in place of relayers.",
        examples=[{"url": "https://relay.example"}],
    )

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.relayers is None) == (self.service is None):
            raise ValueError("should have either relayers or service")
        if self.relayers is not None and len(set(self.relayers)) < len(self.relayers):
            raise ValueError("relayers has a name twice")
        return self
