"""Skipping: how a run ends that its gates or rules refuse, if its definition has onSkip tasks.

Such a run begins only with these tasks. It holds no slot, and no throttle counts it.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.advance import advance
from activityctl.domain.runs.run import Decision, Run, RunState, RunStatus
from activityctl.domain.tasks.limit import Limit
from activityctl.domain.values.ids import SubscriptionId

SKIP_TASKS: Final = Limit(name="on-skip", rate=10, per=timedelta(minutes=1), burst=10)
"""How many skipped runs of one subscription run their onSkip tasks. A burst of firings must not
become a burst of messages."""
_TOO_MANY: Final = (
    "its onSkip tasks did not run, because many runs were skipped: of a subscription, 10 at once "
    "run them, then one every 6s"
)


def limit_name(subscription_id: SubscriptionId) -> str:
    """Return the name under which SKIP_TASKS is kept; no limit of a definition can have it."""
    return f"onSkip/{subscription_id}"


def without_turn(reason: str | None) -> str:
    """Return the reason of a skipped run whose onSkip tasks do not run, because of the limit."""
    return f"{reason}; {_TOO_MANY}" if reason else _TOO_MANY


def to_be_skipped(run: Run, reason: str | None) -> Run:
    """Return the run as it is stored until its onSkip tasks begin: it has left its gates."""
    return replace(
        run, ending=RunStatus.SKIPPED, reason=reason, concurrency_key=None, throttle_key=None
    )


def begin_skipped(
    run: Run, spec: DefinitionSpec, reason: str | None, now: datetime
) -> tuple[Run, Decision]:
    """Begin a run with its onSkip tasks. It ends as skipped, whatever becomes of them."""
    skipped = to_be_skipped(run, reason)
    begun = replace(skipped, status=RunStatus.RUNNING, started_at=run.started_at or now)
    return begun, advance(RunState(begun, spec, ()), now)
