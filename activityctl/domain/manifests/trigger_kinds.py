"""Every kind of trigger; what each says is in its own file."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from activityctl.domain.events.trigger import EventTrigger
from activityctl.domain.timing.options import Bounded
from activityctl.domain.timing.trigger import CLOCK_KINDS

TRIGGER_KINDS: Final[Mapping[str, type[Bounded]]] = MappingProxyType(
    {**CLOCK_KINDS, "event": EventTrigger}
)
"""Every kind of trigger by its key in YAML, with the model of what stands under it."""
