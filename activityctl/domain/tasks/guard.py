"""Guard: the breaker and the limit of one task instance, with the name that its body gives."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import Field

from activityctl.domain.tasks.breaker import BreakerPolicy
from activityctl.domain.tasks.limit import Limit
from activityctl.domain.tasks.model_address import AI, base_url_of
from activityctl.domain.values.ids import canonical_json
from activityctl.domain.values.model import JsonValue, Name, canonical
from activityctl.frozen_dataclass import frozen_dataclass

HTTP: Final = "http"
KINDS_WITH_HOST: Final = frozenset({AI, HTTP})
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}

BreakerField = Annotated[
    BreakerPolicy | None,
    Field(
        description="A circuit breaker that leaves a failing destination alone; it is shared with "
        "the tasks and context sources that have the same host or name. `{}` takes the defaults. "
        "Default: none.",
        examples=[{"openFor": "1m"}],
    ),
]
"""The field `breaker` of tasks and of context sources."""
LimitField = Annotated[
    Name | None,
    Field(
        description="The name of a limit that the definition declares in `limits`. An attempt "
        "begins when the limit has room. Default: none.",
        examples=["crm"],
    ),
]
"""The field `limit` of tasks and of context sources."""


@frozen_dataclass
class Guard:
    """What may hold up the attempts of a task: at least one of both."""

    breaker_name: str | None = None
    breaker: BreakerPolicy | None = None
    """None without a name."""
    limit: Limit | None = None


def guard_of(
    breaker: BreakerPolicy | None,
    limit: str | None,
    limits: Iterable[Limit],
    kind: str,
    body: JsonValue,
) -> Guard | None:
    """Return the guard of a task with this rendered body; None if nothing holds it up."""
    name = None if breaker is None else breaker.name or _host_of(kind, body)
    declared = None if limit is None else next((one for one in limits if one.name == limit), None)
    if name is None and declared is None:
        return None
    return Guard(name, None if name is None else breaker, declared)


def guard_json(guard: Guard | None) -> dict[str, JsonValue] | None:
    """Return the form in which a guard is stored; the numbers at the top are for SQL."""
    if guard is None:
        return None
    limit = guard.limit
    interval = None if limit is None else limit.interval
    found: dict[str, JsonValue] = {
        "breakerName": guard.breaker_name,
        "breaker": None if guard.breaker is None else canonical(guard.breaker),
        "limitName": None if limit is None else limit.name,
        "limit": None if limit is None else canonical(limit),
        "interval": None if interval is None else interval.total_seconds(),
        "burst": None if limit is None else limit.burst,
        "places": None if limit is None else limit.concurrency,
    }
    return {key: value for key, value in found.items() if value is not None}


def stored_guard(stored: Mapping[str, Any] | None) -> Guard | None:
    """Return the guard of its stored form."""
    if stored is None:
        return None
    breaker, limit = stored.get("breaker"), stored.get("limit")
    return Guard(
        stored.get("breakerName"),
        None if breaker is None else BreakerPolicy.model_validate_json(canonical_json(breaker)),
        None if limit is None else Limit.model_validate_json(canonical_json(limit)),
    )


def _url_of(kind: str, body: Mapping[str, JsonValue]) -> JsonValue:
    if kind == AI:
        return base_url_of(str(body.get("provider")), body.get("baseUrl"))
    return body.get("url") if kind == HTTP else None


def _host_of(kind: str, body: JsonValue) -> str | None:
    """Return the host that a task calls, with its port unless that is the usual one.

    None for other kinds, and for the daemon's own API.
    """
    url = _url_of(kind, body) if isinstance(body, Mapping) else None
    if not isinstance(url, str):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname:
        return None
    is_usual = port in {None, _DEFAULT_PORTS.get(parts.scheme.lower())}
    return parts.hostname if is_usual else f"{parts.hostname}:{port}"
