"""What the audit says of the events that a call stores: how many had each outcome."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from activityctl.domain.access.audit import AuditEntry
from activityctl.domain.events.stored_event import EmitOutcome
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class EmitNote:
    """An entry of the audit whose details are the numbers of events, once these are known."""

    entry: AuditEntry
    invalid: int = 0
    """How many events came with those that are to be stored, but cannot be stored."""

    def counted(self, outcomes: Iterable[EmitOutcome]) -> AuditEntry:
        """Return the entry for the stored events that had these outcomes."""
        counts = Counter(outcomes)
        counts[EmitOutcome.INVALID] += self.invalid
        return replace(self.entry, details=counts_view(counts))


def counts_view(counts: Mapping[EmitOutcome, int]) -> dict[str, int]:
    """Return the number of events of each outcome, by its name."""
    return {outcome.value: counts.get(outcome, 0) for outcome in EmitOutcome}
