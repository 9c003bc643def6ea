"""The cause of a firing: from its field, or from the ids in old histories."""

from datetime import UTC, datetime

import pytest

from activityctl.domain.timing.firing import FiringCause, FiringRef, FiringRequest
from activityctl.domain.values import ids

SUB = ids.subscription_id("digest")
KEY = "2026-05-01T06:00:00Z"


@pytest.mark.parametrize(
    ("workflow_id", "cause"),
    [
        (f"{ids.scheduled_workflow_id(SUB, 'nightly')}-{KEY}", FiringCause.ALARM),
        (ids.wake_up_workflow_id(SUB, "nightly", KEY), FiringCause.WAKE_UP),
        (ids.workflow_id(SUB, "nightly", KEY), FiringCause.OUTBOX),
        (ids.batch_workflow_id(["run"]), FiringCause.OUTBOX),
        (ids.let_in_workflow_id(SUB, "nightly", KEY), FiringCause.LET_IN),
    ],
)
def test_without_a_cause_the_ids_tell_it(workflow_id: str, cause: FiringCause):
    firing = FiringRef(SUB, "nightly", KEY, "2026-05-01T06:00:00+00:00", workflow_id)
    assert firing.cause is cause
    assert firing.is_undecided is (cause in {FiringCause.ALARM, FiringCause.WAKE_UP})


def test_a_given_cause_is_kept_whatever_the_ids():
    scheduled = f"{ids.scheduled_workflow_id(SUB, 'nightly')}-{KEY}"
    firing = FiringRef(SUB, "nightly", KEY, KEY, scheduled, FiringCause.OUTBOX)
    assert firing.cause is FiringCause.OUTBOX


def test_the_cause_of_a_request_is_the_outbox():
    request = FiringRequest(SUB, "manual", "key", datetime(2026, 5, 1, tzinfo=UTC))
    assert request.ref.cause is FiringCause.OUTBOX
