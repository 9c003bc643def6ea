"""ManifestSet: the manifests of a set of files, with the position of each in its file."""

from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.manifests.calendar import DayCalendar
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.event_source import EventSource
from activityctl.domain.manifests.partial import Partial
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.values.finding import Finding, Path
from activityctl.errors import Problem
from activityctl.frozen_dataclass import frozen_dataclass

Locate = Callable[[Finding], Problem]
"""Turns a finding in one document into a problem with file, line and column."""


@frozen_dataclass
class ManifestSet:
    """Manifests that fit the schema; `locate` turns findings in them into problems."""

    definitions: Mapping[str, ActivityDefinition] = field(default_factory=dict)
    subscriptions: Mapping[str, SubscriptionManifest] = field(default_factory=dict)
    locate: Mapping[tuple[str, str], Locate] = field(default_factory=dict)
    """By (kind, name)."""
    calendars: Mapping[str, DayCalendar] = field(default_factory=dict)
    """Calendars; all their days are listed."""
    numbers: Mapping[tuple[str, str], Mapping[Path, str]] = field(default_factory=dict)
    """By (kind, name) and path: how a number is written, where JSON writes it in another way."""
    partials: tuple[tuple[str, Partial[Any], Locate], ...] = ()
    """The sound rests of the documents that do not fit the schema, by kind; for checks only."""
    sources: Mapping[str, EventSource] = field(default_factory=dict)

    @property
    def wanted(self) -> Wanted:
        """The objects that the plan compares with the live ones."""
        return Wanted(
            self.definitions, self.subscriptions, calendars=self.calendars, sources=self.sources
        )
