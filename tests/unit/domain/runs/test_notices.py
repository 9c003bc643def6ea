"""Runs that tell a notice: they have only the tasks for it, and nothing is told of them."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.admission import begin
from activityctl.domain.runs.advance import advance
from activityctl.domain.runs.auto_pause import streak_change
from activityctl.domain.runs.notices import (
    GatheredNotice,
    NoticeKind,
    notice_event,
    notice_firing,
)
from activityctl.domain.runs.run import Decision, RunEnd, RunState, RunStatus, TaskStatus
from activityctl.domain.runs.run_change import change_task, run_change
from activityctl.domain.values import ids
from support.runs import run_of

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
ITEM = {"run": "r", "trigger": "nightly", "dueAt": "2026-05-01T02:00:00Z", "reason": "late"}
SPEC = DefinitionSpec.model_validate_json(
    json.dumps(
        {
            "context": [{"name": "all", "call": {}}],
            "rules": [{"when": "context.all == 1"}],
            "concurrency": {"policy": "queue"},
            "throttle": {"limit": 1, "per": "1h"},
            "pauseAfter": {"failures": 1},
            "slo": {"startWithin": "1m"},
            "tasks": [{"name": "a", "say": "a"}],
            "onFailure": [{"name": "page", "say": "no"}],
            "onMissed": [{"name": "missed", "say": "${ trigger.payload.count }"}],
            "onRecovered": [{"name": "well", "say": "well"}],
            "state": {"last": "${ tasks.a.output }"},
        }
    )
)


def gathered(**fields: object) -> GatheredNotice:
    notice = GatheredNotice(
        7, ids.SubscriptionId("s"), "mine", "digest", {"team": "db"}, NoticeKind.MISSED, NOW,
        [ITEM], 1, has_tasks=True, batch="b",
    )  # fmt: skip
    return replace(notice, **fields)


def test_a_notice_runs_its_tasks_alone_and_no_failure_of_it_is_told():
    run = replace(run_of(NOW), trigger="onMissed", payload={"count": 4})
    spec = SPEC.for_trigger("onMissed")
    begun, decision = begin(run, spec, NOW)
    (task,) = decision.create
    assert (task.name, task.input) == ("missed", 4)
    running = change_task(task, TaskStatus.RUNNING)
    failed = change_task(running, TaskStatus.FAILED, error="no", ended_at=NOW)
    decision = advance(RunState(begun, spec, (failed,)), NOW)
    assert decision.end == RunEnd(RunStatus.FAILED, "task missed failed: no")
    change = run_change(begun, decision, NOW, update=(failed,))
    assert change.dead_letter is not None  # a person hears of it there
    assert change.streak is None
    assert not spec.pause_after
    assert streak_change(replace(begun, trigger="onRecovered"), decision, NOW) is None
    assert streak_change(replace(begun, trigger="nightly"), decision, NOW) is not None


def test_other_triggers_run_what_the_definition_has():
    assert SPEC.for_trigger("manual") is SPEC
    assert [task.name for task in SPEC.for_trigger("onRecovered").tasks] == ["well"]
    # A definition whose tasks were removed meanwhile tells nothing; its own tasks do not run.
    without = SPEC.model_copy(update={"on_missed": ()}).for_trigger("onMissed")
    run = replace(run_of(NOW), trigger="onMissed")
    assert begin(run, without, NOW)[1].end == RunEnd(RunStatus.SUCCEEDED)


def test_the_same_notice_gives_the_same_firing_and_the_same_event():
    firing, event = notice_firing(gathered()), notice_event(gathered())
    assert firing is not None
    assert (firing.trigger, firing.firing_key) == ("onMissed", "missed/2026-05-01T12:00:00.000Z/7")
    assert firing.payload == {"count": 1, "missed": [ITEM]}
    assert event.document == notice_event(gathered(batch="other")).document
    assert (event.type, event.subject) == ("activityctl.run.missed", "mine")
    assert event.document["data"]["labels"] == {"team": "db"}
    assert notice_firing(gathered(has_tasks=False)) is None
    assert firing.ref.is_by_clock is False  # so it is never missed itself, nor held by a pause


def test_failures_are_told_when_they_are_decided_but_not_those_of_what_hears_of_them():
    run = replace(run_of(NOW), trigger="nightly", status=RunStatus.RUNNING)
    decision = Decision(end=RunEnd(RunStatus.FAILED, "no " * 300))
    (notice,) = run_change(run, decision, NOW).notices
    assert notice.kind is NoticeKind.FAILED
    (item,) = notice.items
    assert (item["status"], len(str(item["reason"]))) == ("failed", 501)
    ending = Decision(ending=RunStatus.TIMED_OUT, reason="slow")
    assert run_change(run, ending, NOW).notices[0].items[0]["reason"] == "slow"
    told = replace(run, ending=RunStatus.TIMED_OUT)  # its onFailure tasks have ended
    end = Decision(end=RunEnd(RunStatus.TIMED_OUT, "slow"))
    assert run_change(told, end, NOW).notices == ()
    heard = replace(run, events=({"type": "activityctl.run.failed"},))
    assert run_change(heard, decision, NOW).notices == ()
    succeeded = Decision(end=RunEnd(RunStatus.SUCCEEDED))
    assert run_change(run, succeeded, NOW).notices == ()


def test_what_a_notice_lists_is_sorted_and_bounded():
    items = [{**ITEM, "dueAt": (NOW - timedelta(minutes=n)).isoformat()} for n in range(150)]
    payload = notice_event(gathered(items=items, count=999)).document["data"]
    assert (payload["count"], len(payload["missed"])) == (999, 100)
    assert payload["missed"] == sorted(payload["missed"], key=lambda item: item["dueAt"])
