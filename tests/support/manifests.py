"""Makers of manifests; what is done with them stands in the tests."""

import json
from collections import defaultdict
from typing import Any

from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.calendar import DayCalendar
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.values.finding import Finding
from activityctl.errors import Problem

ANY_PARAMS = {"type": "object", "additionalProperties": True}
HOURLY = {"name": "hourly", "interval": {"every": "1h"}}
NIGHTLY = {"name": "nightly", "cron": {"schedule": "0 2 * * *"}}
Manifest = ActivityDefinition | SubscriptionManifest | DayCalendar


def definition(
    name: str = "digest", *, labels: Any = None, annotations: Any = None, **spec: Any
) -> ActivityDefinition:
    """One that is due hourly, of one task; fields of its spec follow."""
    metadata = {"name": name, "labels": labels or {}, "annotations": annotations or {}}
    whole = {"tasks": [{"name": "a", "say": {}}], "triggers": [HOURLY], **spec}
    document = {"metadata": metadata, "spec": whole}
    return ActivityDefinition.model_validate_json(json.dumps(document))


def subscription(
    name: str = "sub", *, labels: Any = None, annotations: Any = None, **spec: Any
) -> SubscriptionManifest:
    """One to `digest`; fields of its spec follow."""
    metadata = {"name": name, "labels": labels or {}, "annotations": annotations or {}}
    document = {"metadata": metadata, "spec": {"activity": "digest", **spec}}
    return SubscriptionManifest.model_validate_json(json.dumps(document))


def manifest_set(*manifests: Manifest) -> ManifestSet:
    """What a file `here.yaml` with these would be read as."""

    def locate(finding: Finding) -> Problem:
        return Problem("here.yaml", 1, 1, ".".join(map(str, finding.path)), finding.reason)

    found: dict[type, dict[str, Any]] = defaultdict(dict)
    for one in manifests:
        found[type(one)][one.metadata.name] = one
    return ManifestSet(
        found[ActivityDefinition],
        found[SubscriptionManifest],
        defaultdict(lambda: locate),
        found[DayCalendar],
    )
