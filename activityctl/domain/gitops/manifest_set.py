"""ManifestSet: what a set of files wants, with the place of everything in it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from activityctl.domain.gitops.plan import Wanted
from activityctl.domain.manifests.calendar import DayCalendar
from activityctl.domain.manifests.definition import ActivityDefinition
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.values.finding import Finding
from activityctl.errors import Problem

Locate = Callable[[Finding], Problem]
"""Gives a finding of one document its file, line and column."""


@dataclass(frozen=True, slots=True)
class ManifestSet:
    """Manifests of right shape; `locate` turns findings about them into problems."""

    definitions: Mapping[str, ActivityDefinition] = field(default_factory=dict)
    subscriptions: Mapping[str, SubscriptionManifest] = field(default_factory=dict)
    locate: Mapping[tuple[str, str], Locate] = field(default_factory=dict)
    """By (kind, name)."""
    calendars: Mapping[str, DayCalendar] = field(default_factory=dict)
    """Their days are all written out."""

    @property
    def wanted(self) -> Wanted:
        """What the plan compares with what is present."""
        return Wanted(self.definitions, self.subscriptions, calendars=self.calendars)
