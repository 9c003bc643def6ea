import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl.domain.manifests.definition import DefinitionSpec, Revision
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.runs.admission import (
    AdmissionInput,
    FiringRecord,
    RecordedState,
    begin,
    fail,
    new_run,
    recorded_state,
    refusal_reason,
    refuse,
    skip,
)
from activityctl.domain.runs.run import Run, RunEnd, RunStatus
from activityctl.domain.runs.run_change import run_change
from activityctl.domain.timing.firing import FiringRef
from activityctl.domain.values import ids

DUE = datetime(2026, 5, 1, 6, tzinfo=UTC)
NOW = DUE + timedelta(seconds=1)
SUB = ids.subscription_id("sub")
FIRING = FiringRef(SUB, "nightly", "2026-05-01T06:00:00Z", "2026-05-01T06:00:00Z", "run/x")


def spec(**fields: Any) -> DefinitionSpec:
    document = {"tasks": [{"name": "a", "say": "${ params.region }"}], **fields}
    return DefinitionSpec.model_validate_json(json.dumps(document))


def facts(
    definition: DefinitionSpec,
    status: SubscriptionStatus = SubscriptionStatus.ACTIVE,
) -> AdmissionInput:
    subscription = Subscription(
        id=SUB,
        name="sub",
        definition="def",
        params={"threshold": 6},
        triggers={},
        status=status,
        created_at=DUE,
        updated_at=DUE,
        state={"seen": 3},
    )
    revision = Revision(ids.revision_id("def", {}), "def", 2, {}, DUE)
    return AdmissionInput(
        subscription, revision, definition, {"threshold": 5}, payload={"why": "test"}
    )


PARAMS = {"type": "object", "properties": {"threshold": {}, "region": {"default": "eu"}}}


def run_of(definition: DefinitionSpec) -> Run:
    return new_run(FIRING, facts(definition), NOW)


def test_a_new_run_freezes_params_state_payload_and_revision():
    run = run_of(spec(params=PARAMS))
    assert run.id == ids.run_id(SUB, "nightly", "2026-05-01T06:00:00Z")
    assert run.id == FIRING.run_id
    assert run.params == {"threshold": 5, "region": "eu"}
    assert run.state == {"seen": 3}
    assert run.payload == {"why": "test"}
    assert run.revision_id == ids.revision_id("def", {})
    assert (run.subscription, run.definition, run.trigger) == ("sub", "def", "nightly")
    assert (run.due_at, run.created_at, run.started_at) == (DUE, NOW, None)
    assert run.status is RunStatus.QUEUED


@pytest.mark.parametrize(
    ("status", "is_by_clock", "reason"),
    [
        ("active", True, None),
        ("active", False, None),
        ("paused", True, "the subscription is paused"),
        ("paused", False, None),
        ("deleted", True, "the subscription was deleted"),
        ("deleted", False, "the subscription was deleted"),
    ],
)
def test_a_paused_subscription_refuses_schedules_and_a_deleted_one_everything(
    status: str, is_by_clock: object, reason: str | None
):
    firing = FIRING if is_by_clock else replace(FIRING, firing_key="asked by a person")
    assert refusal_reason(firing, facts(spec(), SubscriptionStatus(status))) == reason


@pytest.mark.parametrize(
    ("key", "reason"),
    [("an event's id", "the subscription is paused"), ("replay/again/an event's id", None)],
)
def test_a_paused_subscription_starts_runs_of_events_only_in_a_replay(key: str, reason: str | None):
    given = replace(facts(spec(), SubscriptionStatus.PAUSED), events=({"id": "7"},))
    assert refusal_reason(replace(FIRING, firing_key=key), given) == reason


def test_a_refused_firing_of_a_schedule_is_missed_and_any_other_is_skipped():
    missed = run_change(run_of(spec()), refuse(FIRING, "the subscription is paused"), NOW).run
    assert (missed.status, missed.reason) == (RunStatus.MISSED, "the subscription is paused")
    asked = replace(FIRING, firing_key="an event's id")
    assert refuse(asked, "it was deleted").end == RunEnd(RunStatus.SKIPPED, "it was deleted")


def test_a_skip_ends_the_run_with_the_reason():
    after = run_change(run_of(spec()), skip("the subscription is paused"), NOW).run
    assert (after.status, after.reason) == (RunStatus.SKIPPED, "the subscription is paused")
    assert (after.started_at, after.ended_at) == (None, NOW)


def test_a_run_whose_rules_hold_starts_its_tasks():
    definition = spec(params=PARAMS, rules=[{"when": "params.threshold > 1"}])
    run, decision = begin(run_of(definition), definition, NOW)
    assert (run.status, run.started_at) == (RunStatus.RUNNING, NOW)
    assert [(task.name, task.input) for task in decision.start] == [("a", "eu")]


def test_the_first_false_rule_gives_the_reason():
    rules = [
        {"when": "true", "otherwise": "not used"},
        {"when": "params.threshold > 10", "otherwise": "too small"},
        {"when": "params.nonsense"},
    ]
    definition = spec(params=PARAMS, rules=rules)
    run, decision = begin(run_of(definition), definition, NOW)
    assert (run.status, decision) == (RunStatus.QUEUED, skip("too small"))


def test_a_false_rule_without_a_text_is_shown_itself():
    definition = spec(rules=[{"when": "1 > 2"}])
    assert begin(run_of(definition), definition, NOW)[1] == skip("rule does not hold: 1 > 2")


@pytest.mark.parametrize("on_failure", [[], [{"name": "page", "say": "${ run.error }"}]])
def test_a_rule_that_cannot_be_evaluated_fails_the_run(on_failure: list[dict[str, str]]):
    definition = spec(rules=[{"when": "true"}, {"when": "params.nope"}], onFailure=on_failure)
    run, decision = begin(run_of(definition), definition, NOW)
    reason = "rules[1]: no such key: 'nope', in params.nope"
    after = run_change(run, decision, NOW).run
    assert after.reason == reason
    if on_failure:
        assert (after.status, after.ending) == (RunStatus.RUNNING, RunStatus.FAILED)
        assert [(task.name, task.input) for task in decision.create] == [("page", reason)]
    else:
        assert after.status is RunStatus.FAILED


def test_a_run_that_fails_before_its_tasks_runs_only_on_failure():
    definition = spec(onFailure=[{"name": "page", "say": "hello"}])
    run, decision = fail(run_of(definition), definition, "context before: no", NOW)
    assert [task.name for task in decision.create] == ["page"]
    after = run_change(run, decision, NOW).run
    assert (after.ending, after.reason) == (RunStatus.FAILED, "context before: no")


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (None, RecordedState.UNKNOWN),
        (FiringRecord(DUE, may_start=False), RecordedState.UNKNOWN),
        (FiringRecord(DUE + timedelta(days=1), may_start=True), RecordedState.UNKNOWN),
        (FiringRecord(DUE, may_start=True), RecordedState.MAY_START),
        (FiringRecord(DUE, True, RunStatus.QUEUED), RecordedState.OVER),
        (FiringRecord(DUE, True, RunStatus.QUEUED, is_let_in=True), RecordedState.HAS_RUN),
        (FiringRecord(DUE, True, RunStatus.RUNNING), RecordedState.HAS_RUN),
        (FiringRecord(DUE, True, RunStatus.SUCCEEDED), RecordedState.OVER),
        (FiringRecord(DUE, True, RunStatus.MISSED), RecordedState.OVER),
    ],
)
def test_only_what_postgres_recorded_decides_whether_a_firing_goes_on(
    record: FiringRecord | None, expected: RecordedState
):
    assert recorded_state(FIRING, record) is expected
