"""EventSource: an address whose web hooks become events; `domain.sources` says how."""

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime

from activityctl.domain.manifests.metadata import Metadata
from activityctl.domain.sources.spec import EventSourceSpec
from activityctl.domain.values.model import Manifest
from activityctl.frozen_dataclass import frozen_dataclass


class EventSource(Manifest):
    """An address, /v1/sources/NAME, whose web hooks become events."""

    metadata: Metadata
    spec: EventSourceSpec


@frozen_dataclass
class PresentEventSource:
    """An event source as stored in Postgres."""

    name: str
    spec: EventSourceSpec
    created_at: datetime
    updated_at: datetime
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    applyset: str | None = None
