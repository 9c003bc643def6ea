"""Reads relayers for a command: with the keys of this machine, and from the nodes of chains."""

from activityctl import wiring
from activityctl.operations.looking.relayers import ReadRelayers, relayer_reader
from activityctl.settings import Settings


def reading_relayers(settings: Settings, ports: wiring.Ports) -> ReadRelayers:
    """Return what reads the relayers of a selection."""
    return relayer_reader(
        ports.catalog,
        ports.relays,
        lambda: wiring.open_keys(settings).known(),
        lambda: wiring.open_chains(settings, wiring.open_secrets(settings)),
    )
