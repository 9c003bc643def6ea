"""Reads relayers for a command: with the keys of this machine, and from the nodes of chains."""

from activityctl import wiring
from activityctl.domain.values.json_form import View
from activityctl.domain.values.selection import Selection
from activityctl.operations.looking.relayers import ReadRelayers, relayer_views, selected
from activityctl.settings import Settings


def reading_relayers(settings: Settings, ports: wiring.Ports) -> ReadRelayers:
    """Return what reads the relayers of a selection."""

    async def read(selection: Selection) -> list[View]:
        known = wiring.open_keys(settings).known()
        secrets = wiring.open_secrets(settings)
        async with wiring.open_chains(settings, secrets) as chains:
            views = await relayer_views(ports.catalog, ports.relays, chains, known)
        return selected(views, selection)

    return read
