"""ConfigRequest: what `POST /v1/config` of the Builder Kit takes, and the trigger that it means."""

import json
from datetime import timedelta
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from activityctl.domain.chain.address import Address
from activityctl.domain.chain.trigger import LATEST, ChainTrigger
from activityctl.domain.values.duration import format_duration, parse_duration
from activityctl.domain.values.model import JsonValue, Manifest

CREATE: Final = "CREATE"
"""The action of the signature with which an executor registers."""
_MOST_RELAYERS: Final = 20
_LONGEST_MINUTES: Final = 366 * 24 * 60
_HEX: Final = 16


class Source(Manifest):
    """When the automation is triggered."""

    type: Literal["INTERVAL", "FILTER"]
    value: JsonValue
    """Minutes or a text such as 30s; or the query of a filter."""


def _https(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError("should be an https URL, such as https://executor.example")
    return text


class Destination(Manifest):
    """Where the executor's service is."""

    base_url: Annotated[str, AfterValidator(_https), Field(max_length=2_000)] = Field(
        alias="baseURL"
    )


class ConfigRequest(Manifest):
    """A request to register an executor; the last fields are our own."""

    registry_id: Annotated[str, Field(min_length=1, max_length=200)] = Field(alias="registryID")
    source: Source
    destination: Destination
    verify_payload: bool
    relayer_count: int = Field(default=1, ge=1, le=_MOST_RELAYERS)
    signature: Annotated[str, Field(max_length=200)]
    autosign: bool = False
    executor_address: Address | None = None
    """Who must have signed; else anybody who signs becomes the executor."""
    plugin: Address | None = None
    """As in a webhook task: without it nothing is relayed."""
    field_set: Literal["sdk-12", "audited-7"] | None = Field(default=None, alias="fields")
    policy: JsonValue = None
    confirmations: int | None = Field(default=None, ge=0)


def trigger_of(source: Source) -> dict[str, JsonValue]:
    """Return the trigger of a definition. Raises ValueError that says what is wrong.

    A number means minutes, because the text defines it so; a text has its unit.
    """
    if source.type == "INTERVAL":
        return {"name": "tick", "interval": {"every": format_duration(_interval(source.value))}}
    return {"name": "log", "chain": _filter(source.value)}


def _interval(value: JsonValue) -> timedelta:
    if isinstance(value, str):
        return parse_duration(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(  # noqa: TRY004  # what callers catch
            'should be minutes as a number, or a text with a unit such as "30s"'
        )
    if not 0 < value <= _LONGEST_MINUTES:
        raise ValueError(f"should be more than 0 and at most {_LONGEST_MINUTES:,} minutes")
    seconds = round(value * 60, 3)
    return timedelta(seconds=seconds)


def _filter(value: JsonValue) -> dict[str, JsonValue]:
    """Return the body of a chain trigger for an eth filter query."""
    if not isinstance(value, dict):
        raise ValueError(  # noqa: TRY004  # what callers catch
            "should be an eth filter query with chainId, address, topics, fromBlock"
        )
    if value.get("toBlock", LATEST) != LATEST:
        raise ValueError("toBlock: a filter has no end; leave it out")
    body = {name: item for name, item in value.items() if name != "toBlock" and item is not None}
    first = body.get("fromBlock")
    if isinstance(first, str) and first.startswith("0x"):
        body["fromBlock"] = int(first, _HEX)
    if isinstance(topics := body.get("topics"), list):
        body["topics"] = [None if topic == [] else topic for topic in topics]
    ChainTrigger.model_validate_json(json.dumps(body))
    return body


def config_view(
    config_id: str,
    request: ConfigRequest,
    executor: str,
    hmac_key: str,
    relayers: tuple[str, ...],
) -> dict[str, Any]:
    """Return the answer to a registration; it is the only one that has the HMAC key.

    No account attests payloads: they are signed with the HMAC key alone.
    """
    return {
        "id": config_id,
        "registryID": request.registry_id,
        "executorAddress": executor,
        "verifyingAddress": None,
        "hmacKey": hmac_key,
        "relayerAddress": list(relayers),
    }
