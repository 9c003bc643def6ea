"""DeadLetter: when it is open, and which letters a replay closes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activityctl.domain.runs.dead_letter import (
    DeadLetter,
    LetterAction,
    LetterStatus,
    closes_letters,
    repeated_runs,
)
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.values.ids import RunId

AT = datetime(2026, 1, 1, tzinfo=UTC)
LETTER = DeadLetter("letter", "run", "s", "503", AT)


def run(name: str, replay_of: str | None = None, minute: int = 0, **fields: Any) -> Run:
    whole = Run(
        id=RunId(name),
        subscription_id="s",
        subscription="mine",
        definition="digest",
        revision_id="r",
        trigger="manual",
        firing_key=name,
        due_at=AT,
        status=RunStatus.SUCCEEDED,
        created_at=AT + timedelta(minutes=minute),
    )
    return replace(whole, replay_of=replay_of and RunId(replay_of), **fields)


@pytest.mark.parametrize(
    ("action", "result", "status"),
    [
        ("retried", None, LetterStatus.RETRIED),
        ("retried", RunStatus.FAILED, LetterStatus.RETRIED),
        ("retried", RunStatus.CANCELLED, LetterStatus.OPEN),
        ("retried", RunStatus.SKIPPED, LetterStatus.OPEN),
        ("discarded", None, LetterStatus.DISCARDED),
        ("replayed", RunStatus.SUCCEEDED, LetterStatus.REPLAYED),
        ("replayed", None, LetterStatus.REPLAYED),  # retention has removed the replay
    ],
)
def test_the_last_action_and_its_result_say_whether_a_letter_is_open(
    action: Any, result: RunStatus | None, status: LetterStatus
):
    assert LETTER.status is LetterStatus.OPEN
    done = LetterAction(1, action, "ann", AT, run_status=result)
    assert replace(LETTER, actions=(done,)).status is status


def test_only_a_replay_that_succeeds_without_a_letter_of_its_own_closes_letters():
    assert closes_letters(run("again", "first"), None)
    assert not closes_letters(run("first"), None)
    assert not closes_letters(run("again", "first"), LETTER)  # an onSuccess task failed
    for status in set(RunStatus) - {RunStatus.SUCCEEDED}:
        assert not closes_letters(run("again", "first", status=status), None)


def test_a_replay_repeats_the_runs_of_its_firing_that_are_not_younger():
    runs = [
        run("first"),
        run("second", "first", 1),
        run("third", "second", 2),
        run("beside", "first", 3),
        run("younger", "first", 9),
        run("stranger", None, 1),
        run("of-stranger", "stranger", 2),
    ]
    again = run("again", "third", 4)
    assert repeated_runs(again, [*runs, again]) == {"first", "second", "third", "beside"}
    removed = [each for each in runs if each.id != "first"]  # by retention
    assert repeated_runs(again, removed) == {"second", "third", "beside"}
