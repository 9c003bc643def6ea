"""What started a firing's workflow: said by its field, or read by its ids in old histories."""

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
def test_a_history_without_a_cause_is_read_by_its_ids(workflow_id: str, cause: FiringCause):
    firing = FiringRef(SUB, "nightly", KEY, "2026-05-01T06:00:00+00:00", workflow_id)
    assert firing.cause is cause
    assert firing.is_unsettled is (cause in {FiringCause.ALARM, FiringCause.WAKE_UP})


def test_a_cause_that_is_said_is_not_read_by_ids():
    scheduled = f"{ids.scheduled_workflow_id(SUB, 'nightly')}-{KEY}"
    firing = FiringRef(SUB, "nightly", KEY, KEY, scheduled, FiringCause.OUTBOX)
    assert firing.cause is FiringCause.OUTBOX


def test_a_request_comes_out_of_the_outbox():
    request = FiringRequest(SUB, "manual", "key", datetime(2026, 5, 1, tzinfo=UTC))
    assert request.ref.cause is FiringCause.OUTBOX
