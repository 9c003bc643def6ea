"""Opens the HTTP API of another process in place of Postgres."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn, cast

from activityctl.errors import UsageError, reason_of
from activityctl.ports import Backfills, Catalog, EventStore, RunLists, Waits, Workers
from activityctl.secret import Secret
from activityctl.settings import Settings
from activityctl.wiring.local_token import read_local_token
from activityctl.wiring.ports import Ports
from activityctl.wiring.servers import read_secret

if TYPE_CHECKING:
    import ssl

    from activityctl.adapters.remote.client import ApiClient


class RemotePorts(Ports):
    """The ports that the API implements. Any other one is a UsageError: it needs the database."""

    def __init__(self, api: "ApiClient") -> None:
        self.api = api

    def __getattr__(self, name: str) -> NoReturn:
        """Refuse what the API does not have; `Ports` looks for its database here."""
        if name != "_database":
            raise AttributeError(name)
        from activityctl.adapters.remote.stores import not_here

        raise not_here("this")

    @cached_property
    def catalog(self) -> Catalog:
        """Subscriptions."""
        from activityctl.adapters.remote.stores import RemoteCatalog

        return cast("Catalog", RemoteCatalog(self.api))

    @cached_property
    def run_lists(self) -> RunLists:
        """Runs and tasks."""
        from activityctl.adapters.remote.stores import RemoteRunLists

        return cast("RunLists", RemoteRunLists(self.api))

    @cached_property
    def workers(self) -> Workers:
        """Which workers are alive."""
        from activityctl.adapters.remote.stores import RemoteWorkers

        return cast("Workers", RemoteWorkers(self.api))

    @cached_property
    def events(self) -> EventStore:
        """Events, to store them and to see what came of them."""
        from activityctl.adapters.remote.stores import RemoteEvents

        return cast("EventStore", RemoteEvents(self.api))

    @cached_property
    def waits(self) -> Waits:
        """Answers to tasks that wait for people."""
        from activityctl.adapters.remote.stores import RemoteWaits

        return cast("Waits", RemoteWaits(self.api))

    @cached_property
    def backfills(self) -> Backfills:
        """How far backfills are."""
        from activityctl.adapters.remote.stores import RemoteBackfills

        return cast("Backfills", RemoteBackfills(self.api))


@asynccontextmanager
async def open_remote_ports(settings: Settings) -> AsyncIterator[RemotePorts]:
    """Prepare requests to the API that the settings name; the first one connects.

    Raises what `read_secret` raises, and UsageError for a certificate that cannot be read.
    """
    from activityctl.adapters.remote.client import ServerPlace, open_client

    assert settings.server is not None  # noqa: S101  # the caller has looked
    place = ServerPlace(
        settings.server,
        await _token(settings),
        _tls(settings),
        **({"hint": "activityctl up -d"} if settings.uses_local_daemon else {}),
    )
    async with open_client(place) as api:
        yield RemotePorts(api)


async def _token(settings: Settings) -> Secret | None:
    """Return the token of the settings; that of the local daemon if the API is its own."""
    if settings.token_ref is not None:
        return Secret((await read_secret(settings.token_ref)).value.strip())
    return read_local_token(settings.home) if settings.uses_local_daemon else None


def _tls(settings: Settings) -> "ssl.SSLContext":
    """Return how the certificate of the server is verified."""
    import ssl

    certificate = settings.server_certificate
    if not (settings.server or "").startswith("https:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # it trusts nobody, and loads no file
    try:
        return ssl.create_default_context(cafile=certificate)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"server_certificate {certificate}: {reason_of(error)}",
            hint="name a file with certificates in PEM form",
        ) from error
