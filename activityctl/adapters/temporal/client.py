"""Connects a Temporal client from our settings and Temporal's own variables and profiles."""

import asyncio
import logging
import re
from dataclasses import replace
from typing import Final

from temporalio.client import Client
from temporalio.converter import PayloadCodec
from temporalio.envconfig import ClientConfigProfile
from temporalio.service import RPCError

from activityctl.adapters.temporal.failures import converter_with
from activityctl.domain.values.destination import is_loopback
from activityctl.errors import InvalidInputError, NotAllowedError, UnreachableError
from activityctl.secret import Secret
from activityctl.settings import Settings

CONNECT_SECONDS: Final = 8.0
_LOG = logging.getLogger(__name__)
_REASONS: Final = {
    "connection refused": "nothing listens there",
    "dns error|lookup address": "the host is not known",
    "unauthenticated|permission ?denied|unauthorized": "it refuses the login or the API key",
    "certificate|UnknownIssuer|tls|handshake": "the TLS connection failed",
    "namespace .*not found": "the namespace does not exist",
    "invalid uri|invalid target|relative URL|parse": "the address is not HOST:PORT",
    "timed? ?out|deadline|timeout": "no answer in time",
    "no route|network is unreachable": "there is no way to the host",
    "connection (reset|closed)|broken pipe|BrokenPipe|protocol|frame|goaway|h2": (
        "what answers there is not Temporal, or the connection was lost"
    ),
}
"""What the SDK says, and what we say of it."""
_DEFAULT_ADDRESS: Final = "localhost:7233"


async def connect(
    settings: Settings, api_key: Secret | None = None, *, codec: PayloadCodec | None = None
) -> Client:
    """Connect within CONNECT_SECONDS; `api_key` is the key that the settings refer to.

    With a `codec`, everything that workflows and steps pass on goes through it.

    Raises UnreachableError when the server does not answer, InvalidInputError for an invalid
    temporal.toml, and NotAllowedError when the API key of temporal.toml would be sent to an
    address from another source.
    """
    profile = connection_profile(settings, api_key)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await Client.connect(
                **profile.to_client_connect_config(), data_converter=converter_with(codec)
            )
    except (RuntimeError, RPCError, TimeoutError) as error:
        raise UnreachableError(
            f"Temporal does not answer at {profile.address}: {_plain_reason(error)}",
            hint="activityctl doctor",
        ) from error


def _plain_reason(error: Exception) -> str:
    """Return in plain words why there is no answer; the SDK's words go to the log."""
    _LOG.debug("could not connect to Temporal: %s", error)
    text = str(error)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    for pattern, reason in _REASONS.items():
        if re.search(pattern, text, re.IGNORECASE):
            return reason
    return "the connection failed"


def is_clear_text(profile: ClientConfigProfile) -> bool:
    """Return whether everybody on the way to the server can read and change what is sent."""
    tls = profile.tls
    is_encrypted = bool(profile.api_key) if tls is None else not tls.disabled
    host = (profile.address or "").rpartition(":")[0].strip("[]")
    return not is_encrypted and not is_loopback(host)


def connection_profile(settings: Settings, api_key: Secret | None = None) -> ClientConfigProfile:
    """Return address, namespace and credentials; our settings take precedence over temporal.toml.

    `TEMPORAL_API_KEY` takes precedence over the key that the settings refer to. Raises as
    `connect` does for temporal.toml.
    """
    if settings.uses_local_daemon:
        return ClientConfigProfile(
            address=settings.required_temporal_address(), namespace=settings.temporal_namespace
        )
    try:
        stored = ClientConfigProfile.load(
            override_env_vars={
                key: value
                for key, value in settings.temporal_environment.items()
                if key not in {"TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "TEMPORAL_API_KEY"}
            }
        )
    except (RuntimeError, ValueError, OSError) as error:
        raise InvalidInputError(f"temporal.toml: {error}") from error
    key = settings.temporal_environment.get("TEMPORAL_API_KEY") or (api_key and api_key.value)
    address = settings.temporal_address or stored.address or _DEFAULT_ADDRESS
    if stored.api_key and not key and address != stored.address:
        raise NotAllowedError(
            f"the API key of temporal.toml belongs to {stored.address}, not to {address}",
            hint="unset TEMPORAL_ADDRESS, or set TEMPORAL_API_KEY as well",
        )
    return replace(
        stored,
        address=address,
        namespace=(not settings.temporal_namespace_is_set and stored.namespace)
        or settings.temporal_namespace,
        api_key=key or stored.api_key,
    )
