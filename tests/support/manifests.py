"""Makers of manifests."""

import json
from collections import defaultdict
from typing import Any

from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.calendar import DayCalendar
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.event_source import EventSource
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.values.finding import Finding
from activityctl.errors import Problem

ANY_PARAMS = {"type": "object", "additionalProperties": True}
HOURLY = {"name": "hourly", "interval": {"every": "1h"}}
NIGHTLY = {"name": "nightly", "cron": {"schedule": "0 2 * * *"}}
Manifest = ActivityDefinition | SubscriptionManifest | DayCalendar | EventSource


def definition(
    name: str = "digest", *, labels: Any = None, annotations: Any = None, **spec: Any
) -> ActivityDefinition:
    """Make a definition with one task that is due hourly; `spec` replaces fields of its spec."""
    metadata = {"name": name, "labels": labels or {}, "annotations": annotations or {}}
    whole = {"tasks": [{"name": "a", "say": {}}], "triggers": [HOURLY], **spec}
    document = {"metadata": metadata, "spec": whole}
    return ActivityDefinition.model_validate_json(json.dumps(document))


def subscription(
    name: str = "sub", *, labels: Any = None, annotations: Any = None, **spec: Any
) -> SubscriptionManifest:
    """Make a subscription to `digest`; `spec` adds fields of its spec."""
    metadata = {"name": name, "labels": labels or {}, "annotations": annotations or {}}
    document = {"metadata": metadata, "spec": {"activity": "digest", **spec}}
    return SubscriptionManifest.model_validate_json(json.dumps(document))


def manifest_set(*manifests: Manifest) -> ManifestSet:
    """Return the manifests as if they were read from the file `here.yaml`."""

    def locate(finding: Finding) -> Problem:
        return Problem("here.yaml", 1, 1, ".".join(map(str, finding.path)), finding.reason)

    found: dict[type, dict[str, Any]] = defaultdict(dict)
    for manifest in manifests:
        found[type(manifest)][manifest.metadata.name] = manifest
    return ManifestSet(
        found[ActivityDefinition],
        found[SubscriptionManifest],
        defaultdict(lambda: locate),
        found[DayCalendar],
        sources=found[EventSource],
    )
