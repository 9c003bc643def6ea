"""ReadAhead: the input of admissions that was read when their firings were claimed."""

import time
from collections.abc import Callable, Mapping
from typing import Final

from activityctl.domain.manifests.run_limits import OverlapPolicy
from activityctl.domain.runs.admission import AdmissionInput
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.values.ids import RunId

_FRESH_SECONDS: Final = 5.0
_MOST: Final = 500


class ReadAhead:
    """Keeps what the dispatcher of this process has read, until the firing is admitted here.

    If another worker admits it, that one reads for itself. What is kept may be old by then, so a
    run opens only if its subscription has not changed.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._kept: dict[RunId, tuple[float, AdmissionInput]] = {}

    def keep(self, inputs: Mapping[RunId, AdmissionInput]) -> None:
        """Keep these for some seconds."""
        now = self._monotonic()
        fresh = {run: kept for run, kept in self._kept.items() if now - kept[0] < _FRESH_SECONDS}
        new = {run: (now, facts) for run, facts in inputs.items() if _is_simple(facts)}
        self._kept = {**fresh, **new} if len(fresh) + len(new) <= _MOST else new

    def take(self, firing: FiringRef) -> AdmissionInput | None:
        """Return what is kept of the firing, once; None if there is nothing, or if it is old."""
        read_at, facts = self._kept.pop(firing.run_id, (0.0, None))
        is_fresh = self._monotonic() - read_at < _FRESH_SECONDS
        return facts if is_fresh and not firing.is_undecided else None


def _is_simple(facts: AdmissionInput) -> bool:
    """Return whether the run opens at once; a gate must see the subscription of its moment."""
    spec = facts.spec
    return spec.concurrency.policy is OverlapPolicy.ALLOW and spec.throttle is None
