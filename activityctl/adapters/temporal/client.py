"""A Temporal client from the settings; its own variables and profiles work as everywhere."""

import asyncio
from dataclasses import replace
from typing import Final

from temporalio.client import Client
from temporalio.envconfig import ClientConfigProfile
from temporalio.service import RPCError

from activityctl.adapters.temporal.failures import DISCREET_CONVERTER
from activityctl.errors import InvalidInputError, NotAllowedError, UnreachableError
from activityctl.secret import Secret
from activityctl.settings import Settings

CONNECT_SECONDS: Final = 8.0
_DEFAULT_ADDRESS: Final = "localhost:7233"


async def connect(settings: Settings, api_key: Secret | None = None) -> Client:
    """Connect within CONNECT_SECONDS; `api_key` is the one that the settings refer to.

    UnreachableError when nobody answers; NotAllowedError when a profile's API key would
    travel to an address that did not come with it.
    """
    profile = connection_profile(settings, api_key)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await Client.connect(
                **profile.to_client_connect_config(), data_converter=DISCREET_CONVERTER
            )
    except (RuntimeError, RPCError, TimeoutError) as error:
        raise UnreachableError(
            f"Temporal does not answer at {profile.address}: {error or 'no answer in time'}",
            hint="activityctl doctor",
        ) from error


def connection_profile(settings: Settings, api_key: Secret | None = None) -> ClientConfigProfile:
    """Return address, namespace and credentials; our own settings go before temporal.toml.

    `TEMPORAL_API_KEY` goes before the key that the settings refer to.
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
        namespace=stored.namespace or settings.temporal_namespace,
        api_key=key or stored.api_key,
    )
