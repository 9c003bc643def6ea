"""The message and exit code of a command whose alarms are not yet updated in Temporal."""

import pytest

from activityctl.cli.pending_schedules import pending_text, report_pending
from activityctl.cli.session import Session
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.values.sync_errors import refused_text, unanswered_text
from activityctl.errors import RefusedError, WaitTimeoutError
from activityctl.operations.gitops.apply import Applied

PLAN = Plan({}, {}, {}, ())
NO_WORKER = Applied(PLAN, 1, has_worker=False)
SLOW = Applied(PLAN, 3, has_worker=True)
UNANSWERED = Applied(
    PLAN,
    3,
    has_worker=True,
    unanswered=(f"a: {unanswered_text('gone')}", f"b: {unanswered_text('gone')}"),
)
REFUSED = Applied(
    PLAN, 2, has_worker=True, refused=(f"a: {refused_text('bad')}", f"b: {refused_text('bad')}")
)


@pytest.mark.parametrize(
    ("applied", "message"),
    [
        (NO_WORKER, "1 alarm is not yet updated in Temporal: no worker is running"),
        (SLOW, "3 alarms are not yet updated in Temporal: a worker is running and has not"),
        (UNANSWERED, "Temporal did not answer in time for 2 alarms; the worker tries again"),
        (
            REFUSED,
            "2 alarms are not yet updated in Temporal: a: Temporal refused: bad, and 1 more",
        ),
    ],
)
def test_the_message_gives_the_reason(applied: Applied, message: str):
    assert message in pending_text(applied)


@pytest.mark.parametrize("applied", [NO_WORKER, SLOW, UNANSWERED])
def test_with_wait_a_pending_schedule_is_exit_8(applied: Applied):
    with pytest.raises(WaitTimeoutError) as caught:
        report_pending(Session(), applied, wait=True)
    assert pending_text(applied) in caught.value.message
    assert caught.value.exit_code == 8


@pytest.mark.parametrize("wait", [None, False])
@pytest.mark.parametrize("applied", [NO_WORKER, SLOW, UNANSWERED])
def test_without_wait_a_pending_schedule_is_only_reported(
    applied: Applied, capsys: pytest.CaptureFixture[str], *, wait: bool | None
):
    report_pending(Session(), applied, wait=wait)
    assert "not yet updated in Temporal" in capsys.readouterr().err


@pytest.mark.parametrize("wait", [None, False, True])
def test_a_refused_schedule_is_an_error_with_and_without_wait(*, wait: bool | None):
    with pytest.raises(RefusedError):
        report_pending(Session(), REFUSED, wait=wait)


def test_nothing_is_reported_when_all_schedules_are_updated(capsys: pytest.CaptureFixture[str]):
    report_pending(Session(), Applied(PLAN, 0, has_worker=True), wait=True)
    assert capsys.readouterr().err == ""
