"""The steps of a start, as they are shown."""

import sys

import pytest

from activityctl.cli.render.start_steps import showing_steps
from activityctl.cli.session import Session
from activityctl.daemon.local.start_steps import StartStep, StartSteps


def test_a_step_is_reported_when_it_begins_and_when_it_has_ended():
    reported: list[list[tuple[str, bool]]] = []
    steps = StartSteps(
        lambda found: reported.append([(step.doing, step.ended is not None) for step in found])
    )
    with steps.step("starting Postgres"), steps.step("starting Temporal"):
        pass
    with pytest.raises(RuntimeError), steps.step("migrating"):
        raise RuntimeError
    assert reported[0] == [("starting Postgres", False)]
    assert reported[1] == [("starting Postgres", False), ("starting Temporal", False)]
    assert reported[3] == [("starting Postgres", True), ("starting Temporal", True)]
    assert [step.failed for step in steps.steps] == [False, False, True]
    assert all(step.ended is not None for step in steps.steps)


def test_elsewhere_than_on_a_terminal_each_begin_and_end_is_one_line(capsys):
    first = StartStep(doing="starting Postgres", began=10.0)
    second = StartStep(doing="starting Temporal", began=10.5)
    done = first.model_copy(update={"ended": 12.04})
    with showing_steps(Session(color="never")) as show:
        for steps in ([first], [first, second], [first, second], [done, second], [done, second]):
            show(steps)
    assert capsys.readouterr().err.splitlines() == [
        "starting Postgres",
        "starting Temporal",
        "starting Postgres: done in 2.0 s",
    ]


def test_a_terminal_shows_a_list_with_a_mark_for_what_is_done(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with showing_steps(Session()) as show:
        show([StartStep(doing="starting Postgres", began=10.0, ended=12.0)])
    shown = capsys.readouterr().err
    assert "✓" in shown
    assert "starting Postgres" in shown
    assert "2.0 s" in shown
