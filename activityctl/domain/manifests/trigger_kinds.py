"""TRIGGER_KINDS: every kind of trigger with its model; each model is in a file of its own."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from activityctl.domain.chain.trigger import ChainTrigger
from activityctl.domain.events.trigger import EventTrigger
from activityctl.domain.timing.options import Bounded
from activityctl.domain.timing.trigger import CLOCK_KINDS

TRIGGER_KINDS: Final[Mapping[str, type[Bounded]]] = MappingProxyType(
    {**CLOCK_KINDS, "event": EventTrigger, "chain": ChainTrigger}
)
"""The model of each kind of trigger, by its key in YAML."""
EVENT_KINDS: Final = ("event", "chain")
"""The kinds whose runs have an event."""
