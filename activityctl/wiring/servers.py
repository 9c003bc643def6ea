"""Finds and connects the servers, Postgres and Temporal, with the secrets they need."""

from typing import TYPE_CHECKING

from activityctl.errors import InvalidInputError
from activityctl.ports import Histories, RunStarter, ScheduleClient
from activityctl.secret import (
    Secret,
    SecretReference,
    has_password,
    require_sound_url,
    with_password,
)
from activityctl.settings import Settings

if TYPE_CHECKING:
    from temporalio.client import Client
    from temporalio.converter import PayloadCodec

    from activityctl.adapters.temporal.search_attributes import SearchAttributes

_API_KEY = "TEMPORAL_API_KEY"


async def database_url(settings: Settings) -> str:
    """Return the URL of the database, with the password that the settings refer to.

    Raises UnreachableError if no daemon is running, InvalidInputError for a malformed URL, and
    what `read_secret` raises.
    """
    from activityctl.adapters.postgres.database import require_readable

    url, reference = settings.required_database_url(), settings.database_password_ref
    require_sound_url(url)
    require_readable(url)
    if reference is None or settings.uses_local_daemon or has_password(url):
        return url
    return with_password(url, (await read_secret(reference)).value)


async def read_secret(reference: SecretReference) -> Secret:
    """Read a secret from the key store, variable or file in which it is stored.

    Raises NotAllowedError if it would be sent to an address from another source,
    InvalidInputError if it does not exist, UnreachableError if the key store does not answer.
    """
    reference.require_own_address()
    match reference.store:
        case "keyring":
            from activityctl.adapters.keystore.system_keyring import read_keyring

            return await read_keyring(reference)
        case "file":
            from activityctl.adapters.keystore.secret_file import read_file

            return read_file(reference)
        case "env":
            if reference.found is None:
                raise InvalidInputError(
                    f"{reference.setting} names {reference}, which is not set",
                    hint=f"export {reference.name}=…",
                )
            return reference.found


def migrate(url: str, *, roles_prefix: str | None = None) -> None:
    """Migrate the schema of the database to the newest version; create roles with that prefix."""
    from activityctl.adapters.postgres.schema.version import has_package_schema

    if roles_prefix is None and has_package_schema(url):
        return
    from activityctl.adapters.postgres.schema import migrate as migration  # loads Alembic

    migration.migrate(url, roles_prefix=roles_prefix)


def migration_script(url: str, *, roles_prefix: str | None = None) -> tuple[list[str], str]:
    """Return the titles of the migrations that are missing, and the SQL of the roles' rights."""
    from activityctl.adapters.postgres.schema import migrate as migration

    return migration.migration_script(url, roles_prefix=roles_prefix)


async def connect_temporal(settings: Settings) -> "Client":
    """Connect a client of Temporal; raise UnreachableError, and what `read_secret` raises."""
    from activityctl.adapters.temporal.client import connect

    reference = settings.temporal_api_key_ref
    is_used = not (settings.uses_local_daemon or settings.temporal_environment.get(_API_KEY))
    key = await read_secret(reference) if reference is not None and is_used else None
    return await connect(settings, key, codec=await _payload_codec(settings))


async def _payload_codec(settings: Settings) -> "PayloadCodec | None":
    """Return what encrypts payloads; None if no key is named. Raises what `read_secret` raises."""
    current, former = settings.temporal_payload_key_ref, settings.temporal_former_payload_key_ref
    if current is None and former is None:
        return None
    from activityctl.adapters.temporal.payload_codec import EncryptingCodec, payload_key

    if current is None:
        raise InvalidInputError(
            "temporal_former_payload_key_ref is set, but no temporal_payload_key_ref",
            hint="set temporal_payload_key_ref to the key that encrypts",
        )
    named = [reference for reference in (current, former) if reference is not None]
    keys = [payload_key(str(each), (await read_secret(each)).value) for each in named]
    return EncryptingCodec(*keys)


async def unprotected_connections(settings: Settings) -> dict[str, str]:
    """Return what strangers on the network could read or change, by the server's name.

    Raises what `database_url` and `connect_temporal` raise for settings that cannot be used.
    """
    from activityctl.adapters.postgres.connection_url import unverified_tls
    from activityctl.adapters.temporal.client import connection_profile, is_clear_text

    found: dict[str, str] = {}
    if problem := unverified_tls(settings.required_database_url()):
        found["postgres"] = problem
    has_key = settings.temporal_api_key_ref is not None and not settings.uses_local_daemon
    profile = connection_profile(settings, Secret("***") if has_key else None)
    if is_clear_text(profile):
        found["temporal"] = f"everything to {profile.address} is sent in clear text"
    return found


def build_starter(client: "Client", attributes: "SearchAttributes | None" = None) -> RunStarter:
    """Return the adapter that starts and cancels runs in Temporal."""
    from activityctl.adapters.temporal.starter import TemporalRunStarter

    return TemporalRunStarter(client, attributes)


def build_search_attributes(client: "Client") -> "SearchAttributes":
    """Return what knows the search attributes of the server; it has not looked yet."""
    from activityctl.adapters.temporal.search_attributes import SearchAttributes

    return SearchAttributes(client)


def build_schedule_client(client: "Client") -> ScheduleClient:
    """Return the adapter that writes schedules into Temporal."""
    from activityctl.adapters.temporal.schedules import TemporalScheduleClient

    return TemporalScheduleClient(client)


def build_histories(settings: Settings) -> Histories:
    """Return the adapter that replays workflow histories; it connects when it has to."""
    from activityctl.adapters.temporal.histories import TemporalHistories

    return TemporalHistories(lambda: connect_temporal(settings), lambda: _payload_codec(settings))
