"""Check what Temporal has: its version, search attributes, open runs and schedules."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from activityctl import wiring
from activityctl.daemon.local.check import Check
from activityctl.domain.gitops.drift import StoredAlarm
from activityctl.domain.values.plurals import count_noun
from activityctl.errors import UnreachableError
from activityctl.operations.runs.recover import Recovered
from activityctl.settings import Settings

if TYPE_CHECKING:
    from temporalio.client import Client

SEARCH: Final = "search attributes"


class Compared(Protocol):
    """In what Temporal differs from Postgres."""

    @property
    def lost(self) -> Recovered:
        """The runs and firings that Temporal does not know."""
        ...

    @property
    def alarms(self) -> Sequence[StoredAlarm]:
        """The alarms that it does not have, or has otherwise."""
        ...


Compare = Callable[[wiring.Ports, "Client"], Awaitable[Compared]]


async def version(settings: Settings) -> Check:
    """Say which version of Temporal answers."""
    from temporalio.api.workflowservice.v1 import GetSystemInfoRequest

    client = await wiring.connect_temporal(settings)
    info = await client.workflow_service.get_system_info(GetSystemInfoRequest())
    found = f"version {info.server_version} answers at {settings.temporal_address}"
    return Check("temporal", "ok", found)


async def search_attributes(settings: Settings) -> Check:
    """Say whether Temporal's page can be searched by subscription and definition."""
    from temporalio.service import RPCError

    from activityctl.adapters.temporal.search_attributes import missing_attributes, registration

    try:
        client = await wiring.connect_temporal(settings)
    except UnreachableError:
        return Check(SEARCH, "skipped", "needs Temporal")
    try:
        missing = await missing_attributes(client)
    except RPCError as error:
        return Check(SEARCH, "skipped", f"Temporal does not say which it has: {error.message}")
    if not missing:
        return Check(SEARCH, "ok", "Temporal's page finds runs by subscription and definition")
    found = f"Temporal's page cannot find runs by name; it lacks {' and '.join(missing)}"
    host = client.service_client.config.target_host
    return Check(SEARCH, "warning", found, registration(missing, host, client.namespace))


async def recovery(settings: Settings, compare: Compare) -> Check:
    """Compare the open runs and the alarms with Temporal, which its own check asks."""
    client = await wiring.connect_temporal(settings)
    async with wiring.open_ports(settings) as ports:
        compared = await compare(ports, client)
    lost = compared.lost
    if lost.is_empty and not compared.alarms:
        return Check("recovery", "ok", "Temporal knows every open run, and has each alarm")
    if compared.alarms:
        differ = count_noun(len(compared.alarms), "alarm differs", "alarms differ")
        found = f"{differ} in Temporal from what schedules want"
        if lost.is_empty:
            return Check("recovery", "failed", found, "activityctl recover")
    runs = count_noun(len(lost.runs), "open run has", "open runs have")
    firings = count_noun(len(lost.firings), "started firing has", "started firings have")
    found = f"{runs} no workflow in Temporal, {firings} no run"
    return Check("recovery", "failed", found, "activityctl recover")
