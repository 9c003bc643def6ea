"""The ids of spans follow from the run, and the header has the form of W3C Trace Context."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from activityctl.domain.runs.run import RunStatus
from activityctl.domain.runs.tracing import (
    SpanContext,
    attempt_context,
    call_context,
    firing_context,
    parent_of,
    parse_header,
    run_context,
    spans_of_run,
)
from activityctl.domain.values.ids import RunId
from support.runs import run_of

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
RUN = run_of(NOW)
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        "",
        PARENT.upper(),
        PARENT + "-more",
        "ff" + PARENT[2:],
        PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        PARENT.replace("00f067aa0ba902b7", "0" * 16),
        PARENT[:-1],
        PARENT + "\n",
    ],
)
def test_what_is_not_valid_is_no_parent(value: object):
    assert parse_header(value) is None


def test_a_later_version_may_have_more_parts():
    assert parse_header("01" + PARENT[2:] + "-more") == parse_header(PARENT)


def test_the_same_attempt_has_the_same_ids_and_another_one_others():
    run = run_context(RUN)
    first, again = attempt_context(run, "t", 1), attempt_context(run_context(RUN), "t", 1)
    second = attempt_context(run, "t", 2)
    assert first == again
    calls = [call_context(first, 1), call_context(first, 2), call_context(second, 1)]
    spans = [firing_context(RUN), run, first, second, *calls]
    assert len({span.span_id for span in spans}) == len(spans)
    assert {span.trace_id for span in spans} == {run.trace_id}
    assert parse_header(calls[0].header) == calls[0]


def test_an_event_hands_on_its_trace_but_not_to_a_replay():
    heard = replace(RUN, events=({"id": "1"}, {"id": "2", "traceparent": PARENT}))
    assert parent_of(heard) == SpanContext(PARENT[3:35], PARENT[36:52])
    assert run_context(heard).trace_id == PARENT[3:35]
    replay = replace(heard, id=RunId("other"), replay_of=heard.id)
    assert parent_of(replay) is None
    assert run_context(replay).trace_id not in {PARENT[3:35], run_context(RUN).trace_id}


def test_a_run_that_has_ended_has_the_spans_of_its_firing_and_of_itself():
    heard = replace(RUN, events=({"traceparent": PARENT},), due_at=NOW - timedelta(seconds=9))
    assert spans_of_run(heard) == ()
    end = {"started_at": NOW, "ended_at": NOW + timedelta(seconds=1)}
    firing, run = spans_of_run(replace(heard, status=RunStatus.FAILED, **end))
    assert (firing.parent, run.parent) == (parent_of(heard), firing.context)
    assert (firing.ended - firing.began, run.ended - run.began) == (
        timedelta(seconds=9),
        timedelta(seconds=1),
    )
    assert (firing.error, run.error) == (None, "failed")
    assert run.attributes["activityctl.subscription"] == RUN.subscription
    missed = replace(heard, status=RunStatus.MISSED, started_at=None, ended_at=NOW)
    assert [span.name for span in spans_of_run(missed)] == [firing.name]
