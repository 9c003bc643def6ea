"""What is said, and how a command ends, when schedules are not yet as wanted."""

import pytest

from activityctl.cli.pending_schedules import pending_text, report_pending
from activityctl.cli.session import Session
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.values.sync_errors import refused_text, unanswered_text
from activityctl.errors import RefusedError, WaitTimeoutError
from activityctl.operations.gitops.apply import Applied

PLAN = Plan({}, {}, {}, ())
ALONE = Applied(PLAN, 1, has_worker=False)
SLOW = Applied(PLAN, 3, has_worker=True)
LOST = Applied(
    PLAN,
    3,
    has_worker=True,
    unanswered=(f"a: {unanswered_text('gone')}", f"b: {unanswered_text('gone')}"),
)
BAD = Applied(
    PLAN, 2, has_worker=True, refused=(f"a: {refused_text('bad')}", f"b: {refused_text('bad')}")
)


@pytest.mark.parametrize(
    ("applied", "said"),
    [
        (ALONE, "1 schedule is not yet as wanted: no worker is alive"),
        (SLOW, "3 schedules are not yet as wanted: a worker is alive and still at it"),
        (LOST, "Temporal did not answer in time for 2 schedules; the worker tries again"),
        (BAD, "2 schedules are not yet as wanted: a: Temporal refused: bad, and 1 more"),
    ],
)
def test_what_is_known_is_said(applied: Applied, said: str):
    assert said in pending_text(applied)


@pytest.mark.parametrize("applied", [ALONE, SLOW, LOST])
def test_who_asked_to_wait_is_told_that_time_is_up(applied: Applied):
    with pytest.raises(WaitTimeoutError) as caught:
        report_pending(Session(), applied, wait=True)
    assert pending_text(applied) in caught.value.message
    assert caught.value.exit_code == 8


@pytest.mark.parametrize("wait", [None, False])
@pytest.mark.parametrize("applied", [ALONE, SLOW, LOST])
def test_who_did_not_is_only_told(
    applied: Applied, capsys: pytest.CaptureFixture[str], *, wait: bool | None
):
    report_pending(Session(), applied, wait=wait)
    assert "not yet as wanted" in capsys.readouterr().err


@pytest.mark.parametrize("wait", [None, False, True])
def test_a_refusal_is_one_however_long_was_waited(*, wait: bool | None):
    with pytest.raises(RefusedError):
        report_pending(Session(), BAD, wait=wait)


def test_nothing_is_said_when_all_is_as_wanted(capsys: pytest.CaptureFixture[str]):
    report_pending(Session(), Applied(PLAN, 0, has_worker=True), wait=True)
    assert capsys.readouterr().err == ""
