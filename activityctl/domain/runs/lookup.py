"""Decides where the context of a run is looked up: while it is admitted, or in a step of its own.

A slow source must not keep other runs from being admitted, and must not outlive the admission.
"""

from datetime import timedelta
from typing import Final

from activityctl.domain.manifests.context import ContextTemplate
from activityctl.domain.manifests.definition import DefinitionSpec

QUICK_SOURCES: Final = frozenset({"env", "events", "runs", "state"})
"""Context sources that answer at once. Others may take seconds."""
WHILE_ADMITTED: Final = timedelta(seconds=30)
"""How long the lookup of quick sources may take in all; an admission ends after 60 s."""
LOOKING_UP: Final = "its context is being looked up"
"""The reason of a queued run whose context is looked up."""


def is_looked_up_apart(spec: DefinitionSpec) -> bool:
    """Return whether the context is looked up in a step of its own, after the admission."""
    is_quick = all(
        source.kind in QUICK_SOURCES and source.retry.attempts == 1 for source in spec.context
    )
    return not is_quick or longest_lookup(spec) > WHILE_ADMITTED


def longest_lookup(spec: DefinitionSpec) -> timedelta:
    """Return how long the lookup may take at most, with all attempts and waits."""
    return sum(map(_longest, spec.context), timedelta(0))


def _longest(source: ContextTemplate) -> timedelta:
    attempts = source.retry.attempts
    return source.timeout * attempts + source.retry.max_interval * (attempts - 1)
