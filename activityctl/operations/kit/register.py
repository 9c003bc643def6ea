"""Register an executor as `POST /v1/config` does: an ordinary definition in a set of its own."""

import json
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Protocol

from pydantic import ValidationError

from activityctl.domain.chain.config_request import (
    CREATE,
    ConfigRequest,
    config_view,
    trigger_of,
)
from activityctl.domain.chain.keys import HeldKey, KeyKind
from activityctl.domain.gitops.history import Origin
from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.gitops.planning import plan_changes
from activityctl.domain.manifests.checks import Kinds, check_definition
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.values.finding import findings_of
from activityctl.domain.values.json_form import View
from activityctl.errors import ConflictError, InvalidInputError, NotFoundError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Catalog

_NAMESPACE: Final = uuid.UUID("6f0d4bb5-2f2c-5a53-9d0c-2d7f0c6f2a11")
"""The namespace of the ids of configs; an id follows from what the executor has signed."""
_PREFIX: Final = "config-"
_RETRY: Final[Mapping[str, Any]] = {
    "maxAttempts": 8,
    "initialInterval": "2s",
    "maxInterval": "5m",
}

_TRIGGER: Final = "triggers.0."
_BODY: Final = "tasks.0.webhook."
"""Where the fields of a request are in the definition."""


class KeyMaker(Protocol):
    """Makes keys on this machine."""

    async def create(self, name: str, kind: KeyKind) -> HeldKey:
        """Make a key; ConflictError if there is one with this name."""
        ...

    async def remove(self, name: str) -> None:
        """Forget a key; NotFoundError if there is none."""
        ...


@frozen_dataclass
class Registered:
    """An executor that was registered."""

    name: str
    """Of the definition, and of its apply set."""
    view: View
    """The answer, with the HMAC key, which nobody gets a second time."""


@frozen_dataclass
class _Keys:
    hmac: HeldKey
    executor: HeldKey | None
    relayers: tuple[HeldKey, ...]


def read_config(value: object) -> ConfigRequest:
    """Return the request of a JSON value. Raises InvalidInputError that names the fields."""
    try:
        return ConfigRequest.model_validate_json(json.dumps(value))
    except ValidationError as error:
        found = [
            f"{'.'.join(map(str, finding.path)) or 'the request'}: {finding.reason}"
            for finding in findings_of(error)
        ]
        raise InvalidInputError("; ".join(found)) from None


def config_name(request: ConfigRequest) -> str:
    """Return the name that the definition and its apply set would have.

    Raises InvalidInputError for a wrong signature.
    """
    return f"{_PREFIX}{_config_id(_signer(request), request)}"


async def register_executor(
    request: ConfigRequest,
    catalog: Catalog,
    keys: KeyMaker,
    kinds: Kinds,
    clock: Callable[[], datetime],
    *,
    origin: Origin,
) -> Registered:
    """Check who signed, make the keys, and apply the definition; all of it or nothing.

    Raises InvalidInputError for a request or signature that is wrong, and ConflictError if what was
    signed was registered before, also if it was deleted since: a signature is good for once.
    """
    signer = _signer(request)
    url = request.destination.base_url
    config_id = _config_id(signer, request)
    name = f"{_PREFIX}{config_id}"
    _definition(request, name, signer, _named(name, request), kinds)  # before a key is made
    async with catalog.changing():
        present = await catalog.present()
        before = await catalog.history("ActivityDefinition", name, limit=1)
        if before or name in present.definitions:
            raise ConflictError(
                f"{signer} has registered {url} before: definition {name}",
                hint=f"activityctl export definition {name}",
            )
        made = await _make(keys, name, request)
        try:
            executor = signer if made.executor is None else made.executor.current.shown.public
            manifest = _definition(request, name, executor, _named(name, request), kinds)
            wanted = Wanted({name: manifest}, {}, name)
            await catalog.write(plan_changes(wanted, present), clock(), origin)
        except BaseException:
            await _forget(keys, name, request)
            raise
    relayers = tuple(key.current.shown.public for key in made.relayers)
    view = config_view(config_id, request, executor, made.hmac.current.secret, relayers)
    return Registered(name, view)


def _config_id(signer: str, request: ConfigRequest) -> str:
    signed = f"{signer.lower()} {request.verify_payload} {request.destination.base_url}"
    return str(uuid.uuid5(_NAMESPACE, signed))


def _signer(request: ConfigRequest) -> str:
    from activityctl.domain.chain.config_signature import check_config, config_digest
    from activityctl.domain.chain.signatures import recover_signer

    url, verifies = request.destination.base_url, request.verify_payload
    try:
        digest = config_digest(url, verify_payload=verifies, action=CREATE)
        if request.executor_address is None:
            return recover_signer(digest, request.signature)
        return check_config(
            request.signature,
            request.executor_address,
            url,
            verify_payload=verifies,
            action=CREATE,
        )
    except ValueError as error:
        raise InvalidInputError(
            f"signature: {error}",
            hint="sign KernelAction with destinationURL, verifyPayload and the action CREATE",
        ) from None


def _names(name: str, request: ConfigRequest) -> dict[str, KeyKind]:
    """Return the names of the keys that a config has, with their kinds."""
    found = {name: KeyKind.HMAC}
    if request.autosign:
        found[f"{name}-executor"] = KeyKind.EXECUTOR
    for number in range(1, request.relayer_count + 1):
        found[f"{name}-relayer-{number}"] = KeyKind.RELAYER
    return found


def _named(name: str, request: ConfigRequest) -> dict[str, Any]:
    """Return the fields of the webhook task that name keys."""
    names = _names(name, request)
    relayers = [key for key, kind in names.items() if kind is KeyKind.RELAYER]
    fields: dict[str, Any] = {"hmacKey": name}
    if request.autosign:
        fields["autosign"] = f"{name}-executor"
    if request.plugin is not None:
        fields["plugin"] = request.plugin
        fields["relay"] = {"relayers": relayers}
        if request.confirmations is not None:
            fields["relay"]["confirmations"] = request.confirmations
    return fields


async def _make(keys: KeyMaker, name: str, request: ConfigRequest) -> _Keys:
    """Make the keys. What a crash has left of an earlier try is made anew: nobody has had it."""
    await _forget(keys, name, request)
    made = [await keys.create(key, kind) for key, kind in _names(name, request).items()]
    of_kind = {kind: [key for key in made if key.kind is kind] for kind in KeyKind}
    executors = of_kind[KeyKind.EXECUTOR]
    return _Keys(
        of_kind[KeyKind.HMAC][0],
        executors[0] if executors else None,
        tuple(of_kind[KeyKind.RELAYER]),
    )


async def _forget(keys: KeyMaker, name: str, request: ConfigRequest) -> None:
    for key in _names(name, request):
        try:
            await keys.remove(key)
        except NotFoundError:
            continue


def _definition(
    request: ConfigRequest, name: str, executor: str, named: Mapping[str, Any], kinds: Kinds
) -> ActivityDefinition:
    """Return the definition; InvalidInputError if the request asks for one that is not valid."""
    body: dict[str, Any] = {
        "baseURL": request.destination.base_url,
        "registryID": request.registry_id,
        "executorAddress": executor,
        "verifyPayload": request.verify_payload,
        **named,
    }
    if request.field_set is not None:
        body["fields"] = request.field_set
    if request.policy is not None:
        body["policy"] = request.policy
    try:
        trigger = trigger_of(request.source)
    except ValidationError as error:
        found = findings_of(error)[0]
        place = ".".join(["source.value", *map(str, found.path)])
        raise _invalid(place, found.reason) from None
    except ValueError as error:
        raise _invalid("source.value", str(error)) from None
    spec = {
        "description": "An executor that has registered itself by its signature.",
        "triggers": [trigger],
        "tasks": [{"name": "execute", "webhook": body, "retry": dict(_RETRY)}],
    }
    labels = {"registered-by": "builder-kit"}
    whole = {"metadata": {"name": name, "labels": labels}, "spec": spec}
    try:
        definition = ActivityDefinition.model_validate_json(json.dumps(whole))
    except ValidationError as error:
        found = findings_of(error)[0]
        raise _invalid(".".join(map(str, found.path)), found.reason) from None
    for finding in check_definition(definition.spec, kinds):
        raise _invalid(".".join(map(str, finding.path)), finding.reason)
    return definition


def _invalid(place: str, reason: str) -> InvalidInputError:
    """Return the error with the place in the request, not the one in the definition."""
    asked = place.removeprefix("spec.")
    if asked.startswith(_TRIGGER):
        kind, _, inside = asked.removeprefix(_TRIGGER).partition(".")
        asked = f"source.value.{inside}" if kind == "chain" and inside else "source.value"
    return InvalidInputError(f"{asked.removeprefix(_BODY)}: {reason}")
