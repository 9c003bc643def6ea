"""The JSON forms of objects; a change of a key breaks programs and needs a new `apiVersion`."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from activityctl.domain.manifests import json_form as manifests_form
from activityctl.domain.manifests.definition import Revision
from activityctl.domain.manifests.subscription import Subscription, SubscriptionStatus
from activityctl.domain.runs import json_form as runs_form
from activityctl.domain.runs.dead_letter import DeadLetter, LetterAction
from activityctl.domain.runs.run import Run, RunStatus, TaskInstance, TaskStatus
from activityctl.domain.values import ids, json_form
from activityctl.domain.values.log import LogEntry

MOMENT = datetime(2026, 5, 1, 12, 0, 0, 123_999, UTC)
STAMP = "2026-05-01T12:00:00.123Z"
SUB = ids.subscription_id("sub")
REVISION = Revision(
    ids.revision_id("def", {}), "def", 3, {"description": "For people.", "tasks": []}, MOMENT
)
RUN = Run(
    id=ids.run_id(SUB, "nightly", "key"),
    subscription_id=SUB,
    subscription="sub",
    definition="def",
    revision_id=REVISION.id,
    trigger="nightly",
    firing_key="key",
    due_at=MOMENT,
    status=RunStatus.TIMED_OUT,
    created_at=MOMENT,
    params={"p": 1},
    context={"c": 2},
    state={"s": 3},
    payload={"q": 4},
    reason="too slow",
    started_at=MOMENT,
)


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (None, None),
        (MOMENT, STAMP),
        (datetime(2026, 5, 1, tzinfo=UTC), "2026-05-01T00:00:00.000Z"),
        (datetime(2026, 5, 1, 2, tzinfo=timezone(timedelta(hours=2))), "2026-05-01T00:00:00.000Z"),
    ],
)
def test_times_are_shown_in_utc_with_milliseconds(moment: datetime | None, text: str | None):
    assert json_form.format_timestamp(moment) == text


def test_a_list_has_its_api_version_and_kind():
    assert json_form.list_view(iter([{"id": 1}])) == {
        "apiVersion": "activityctl/v1",
        "kind": "List",
        "items": [{"id": 1}],
    }
    assert json_form.list_view([], has_more=True)["metadata"] == {"hasMore": True}


def test_the_form_of_a_run():
    shown = {
        "id": RUN.id,
        "subscription": "sub",
        "subscriptionId": SUB,
        "definition": "def",
        "revision": REVISION.id,
        "trigger": "nightly",
        "firingKey": "key",
        "dueAt": STAMP,
        "status": "timed_out",
        "reason": "too slow",
        "createdAt": STAMP,
        "startedAt": STAMP,
        "endedAt": None,
        "replayOf": None,
        "stuck": None,
    }
    details = {"params": {"p": 1}, "context": {"c": 2}, "state": {"s": 3}, "payload": {"q": 4}}
    assert runs_form.run_view(RUN) == shown
    assert runs_form.run_details(RUN) == shown | details


def test_the_form_of_a_task():
    task = TaskInstance(
        id=ids.task_id(RUN.id, "a", 1),
        run_id=RUN.id,
        name="a",
        index=1,
        phase="onFailure",
        kind="http",
        status=TaskStatus.FAILED,
        created_at=MOMENT,
        of=2,
        input={"url": "/"},
        output=None,
        error="boom",
        attempts=3,
        started_at=MOMENT,
        ended_at=MOMENT,
    )
    assert runs_form.task_view(task) == {
        "id": task.id,
        "run": RUN.id,
        "name": "a",
        "index": 1,
        "phase": "onFailure",
        "kind": "http",
        "status": "failed",
        "attempts": 3,
        "input": {"url": "/"},
        "output": None,
        "error": "boom",
        "code": None,
        "reason": None,
        "createdAt": STAMP,
        "startedAt": STAMP,
        "waitsUntil": None,
        "completedBy": None,
        "of": 2,
        "endedAt": STAMP,
    }


def test_the_form_of_a_log_entry():
    entry = LogEntry(SUB, None, "hello", "info", MOMENT, {"task": "a"}, 7)
    assert json_form.log_view(entry) == {
        "id": 7,
        "subscriptionId": SUB,
        "runId": None,
        "message": "hello",
        "level": "info",
        "createdAt": STAMP,
        "metadata": {"task": "a"},
    }


def test_the_form_of_a_subscription():
    subscription = Subscription(
        id=SUB,
        name="sub",
        definition="def",
        params={"p": 1},
        triggers={"beat": None},
        status=SubscriptionStatus.PAUSED,
        created_at=MOMENT,
        updated_at=MOMENT,
        labels={"team": "a"},
        annotations={"note": "b"},
        state={"s": 3},
        failures=2,
        applyset="shop",
        pause_reason="2 runs in a row failed",
        paused_at=MOMENT,
        paused_by_run=RUN.id,
    )
    assert manifests_form.subscription_view(subscription) == {
        "id": SUB,
        "name": "sub",
        "definition": "def",
        "status": "paused",
        "failures": 2,
        "pauseReason": "2 runs in a row failed",
        "pausedAt": STAMP,
        "pausedByRun": RUN.id,
        "params": {"p": 1},
        "triggers": {"beat": None},
        "account": None,
        "labels": {"team": "a"},
        "annotations": {"note": "b"},
        "applyset": "shop",
        "state": {"s": 3},
        "createdAt": STAMP,
        "updatedAt": STAMP,
    }


def test_the_form_of_a_definition_with_its_revision():
    row = {
        "name": "def",
        "subscriptions": 2,
        "labels": {"team": "a"},
        "annotations": {},
        "applyset": None,
        "since": MOMENT,
        "updated_at": MOMENT + timedelta(seconds=1),
    }
    assert manifests_form.definition_view(row, REVISION) == {
        "name": "def",
        "revision": REVISION.id,
        "number": 3,
        "description": "For people.",
        "subscriptions": 2,
        "labels": {"team": "a"},
        "annotations": {},
        "applyset": None,
        "createdAt": STAMP,
        "updatedAt": "2026-05-01T12:00:01.123Z",
        "spec": REVISION.spec,
    }
    assert manifests_form.revision_view(REVISION) == {
        "id": REVISION.id,
        "definition": "def",
        "number": 3,
        "createdAt": STAMP,
        "spec": REVISION.spec,
    }


def test_the_form_of_a_dead_letter():
    letter = DeadLetter(ids.dead_letter_id(RUN.id), RUN.id, SUB, "boom", MOMENT, "sub", "def", "t")
    shown = {
        "id": letter.id,
        "status": "open",
        "run": RUN.id,
        "subscription": "sub",
        "subscriptionId": SUB,
        "definition": "def",
        "trigger": "t",
        "task": None,
        "reason": "boom",
        "replayOf": None,
        "createdAt": STAMP,
        "lastAction": None,
    }
    assert runs_form.dead_letter_view(letter) == shown
    done = LetterAction(1, "retried", "ann", MOMENT, "why", RUN.id, RunStatus.FAILED, "boom")
    assert runs_form.dead_letter_view(replace(letter, actions=(done,)))["lastAction"] == {
        "action": "retried",
        "actor": "ann",
        "reason": "why",
        "createdAt": STAMP,
        "run": RUN.id,
        "result": "failed",
        "resultReason": "boom",
        "newRevision": False,
        "newKeys": False,
    }


def test_the_forms_are_json():
    assert json.loads(json.dumps(runs_form.run_details(RUN))) == runs_form.run_details(RUN)
