"""DefinitionFacts: how the runs of all subscriptions of a definition did."""

from collections.abc import Mapping
from dataclasses import field
from typing import Final

from activityctl.domain.runs.latest_run import LatestRun
from activityctl.domain.runs.subscription_facts import (
    NEWEST,
    PERIODS,
    FailedRun,
    RunFigures,
    failure_view,
    period_of,
    strip_run_view,
)
from activityctl.domain.values.json_form import View
from activityctl.frozen_dataclass import frozen_dataclass

_LEAST_RUNS: Final = 20


@frozen_dataclass
class OwnedRun:
    """A run with the name of its subscription."""

    subscription: str
    run: LatestRun


@frozen_dataclass
class OwnedFailure:
    """The newest failed run with the name of its subscription."""

    subscription: str
    run: FailedRun


@frozen_dataclass
class DefinitionFacts:
    """The facts of one moment."""

    periods: Mapping[str, RunFigures] = field(default_factory=dict)
    """By the keys of PERIODS."""
    latest: tuple[OwnedRun, ...] = ()
    """The newest runs, at most STRIP, newest first."""
    last_failure: OwnedFailure | None = None


def most_of_each(owners: int) -> int:
    """Return how many of the newest runs of each subscription the figures count."""
    return max(NEWEST // max(owners, 1), _LEAST_RUNS)


def definition_facts_view(facts: DefinitionFacts) -> View:
    """Return the JSON view of the facts."""
    failure = facts.last_failure
    return {
        "figures": {name: period_of(facts.periods.get(name, RunFigures())) for name in PERIODS},
        "lastRuns": [
            {"subscription": owned.subscription, **strip_run_view(owned.run)}
            for owned in facts.latest
        ],
        "lastFailure": None
        if failure is None
        else {"subscription": failure.subscription, **failure_view(failure.run)},
    }
