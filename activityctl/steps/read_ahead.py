"""ReadAhead: the input of admissions that was read when their firings were claimed."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from activityctl.domain.manifests.run_limits import OverlapPolicy
from activityctl.domain.runs.admission import AdmissionInput, ClaimedFacts
from activityctl.domain.runs.lookup import is_looked_up_apart
from activityctl.domain.timing.firing import FiringCause, FiringRef
from activityctl.domain.values import ids
from activityctl.domain.values.ids import RunId
from activityctl.ports import RunStore

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

    def suffices(self, firing: FiringRef) -> bool:
        """Return whether its admission, so far, neither locks nor writes anything.

        Its dispatcher holds the row of the firing, and a gate would write the run.
        """
        if firing.cause is FiringCause.LET_IN:
            return True
        _, facts = self._kept.get(firing.run_id, (0.0, None))
        return facts is not None and not is_looked_up_apart(facts.spec)

    def has_all(self, firing: FiringRef) -> bool:
        """Return whether its admission, so far, only opens the run, which it does with others."""
        read_at, facts = self._kept.get(firing.run_id, (0.0, None))
        if facts is None or self._monotonic() - read_at >= _FRESH_SECONDS:
            return False
        return not facts.spec.context and not facts.spec.on_skip

    def take(self, firing: FiringRef) -> AdmissionInput | None:
        """Return what is kept of the firing, once; None if there is nothing, or if it is old."""
        read_at, facts = self._kept.pop(firing.run_id, (0.0, None))
        is_fresh = self._monotonic() - read_at < _FRESH_SECONDS
        return facts if is_fresh and not firing.is_undecided else None


async def read_inputs(
    runs: RunStore, firings: Iterable[FiringRef], facts: Mapping[RunId, ClaimedFacts]
) -> dict[RunId, AdmissionInput]:
    """Return the inputs of the admissions of the firings, with the specs that the store knows.

    A retry needs the run that it retries too, so its admission reads that by itself.
    """
    specs = await runs.specs_of({each.revision.id for each in facts.values()})
    return {
        firing.run_id: found.admission_input(specs[found.revision.id].for_trigger(firing.trigger))
        for firing in firings
        if (found := facts.get(firing.run_id)) is not None
        and found.revision.id in specs
        and not ids.replayed_run(firing.firing_key)
    }


def _is_simple(facts: AdmissionInput) -> bool:
    """Return whether the run opens at once; a gate must see the subscription of its moment."""
    spec = facts.spec
    return spec.concurrency.policy is OverlapPolicy.ALLOW and spec.throttle is None
