"""Which deadlines of an slo a run has missed, and what is said about it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from activityctl.domain.manifests.run_limits import Slo
from activityctl.domain.runs.lateness import (
    Deadline,
    RunTimes,
    late_deadlines,
    late_entry,
    late_event,
)
from activityctl.domain.runs.run import RunStatus

DUE = datetime(2026, 5, 1, 2, tzinfo=UTC)
BOTH = Slo.model_validate_json('{"startWithin": "1m", "endWithin": "30m"}')
RUN = RunTimes("r", "s-id", "report", "reports", "nightly", DUE, RunStatus.RUNNING)
START, END = Deadline.START, Deadline.END


def minutes(number: float) -> datetime:
    return DUE + timedelta(minutes=number)


def late(now: float, status: str = "queued", slo: Slo = BOTH, **times: float) -> list[Deadline]:
    moments: Any = {f"{name}_at": minutes(number) for name, number in times.items()}
    run = replace(RUN, status=RunStatus(status), **moments)
    return [each.deadline for each in late_deadlines(run, slo, minutes(now))]


def test_a_run_that_has_not_started_or_ended_by_its_time_is_late():
    assert late(1) == []
    assert late(1.1) == [START]
    assert late(31) == [START, END]
    assert late(31, "running", started=0.5) == [END]
    assert late(20, "running", started=5) == [START]
    assert late(99, "succeeded", started=0.5, ended=29) == []
    assert late(99, "failed", started=0.5, ended=31) == [END]
    assert late(99, "succeeded", started=2, ended=31) == [START, END]


def test_only_written_deadlines_count():
    assert late(99, slo=Slo.model_validate_json('{"endWithin": "1h"}')) == [END]
    assert late(99, slo=Slo.model_validate_json('{"startWithin": "2h"}')) == []


def test_a_missed_run_is_late_and_a_skipped_one_was_not_meant_to_run():
    assert late(31, "missed", ended=0.1) == [START, END]
    assert late(31, "skipped", ended=5) == []
    assert late(31, "cancelled", ended=5) == []
    assert late(99, "cancelled", started=2, ended=5) == [START]


def test_the_event_and_the_entry_say_which_run_is_late_and_since_when():
    (start, end) = late_deadlines(RUN, BOTH, minutes(40))
    event = late_event(start)
    assert event is not None
    assert (event.type, event.id, event.source) == (
        "activityctl.run.late",
        "r/start",
        "/activityctl/report",
    )
    assert event == late_event(start)
    entry = late_entry(end, minutes(40))
    assert entry.level == "warning"
    assert "had not ended by 2026-05-01T02:30:00.000Z (slo endWithin: 30m)" in entry.message


def test_a_run_that_a_late_run_has_started_emits_no_event():
    (start, _) = late_deadlines(replace(RUN, follows_own_event=True), BOTH, minutes(40))
    assert late_event(start) is None


@pytest.mark.parametrize("text", ["{}", '{"startWithin": "1h", "endWithin": "1m"}'])
def test_an_slo_has_deadlines_in_order(text: str):
    with pytest.raises(ValidationError):
        Slo.model_validate_json(text)
