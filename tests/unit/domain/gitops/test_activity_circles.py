"""Automations that start one another in a circle are refused where the files show it."""

from pathlib import Path

import pytest

from activityctl import wiring
from activityctl.operations.gitops.load import check_files


def problems(folder: Path, *, form: str = "%s", **starts: list[str]) -> list[str]:
    """Return the problems of definitions that start subscriptions, each with one of its name.

    `form` is what is around each task that does.
    """
    for name, targets in starts.items():
        tasks = "".join(
            f"    - {form % f'{{name: t{index}, activity: {{subscription: {target}}}}}'}\n"
            for index, target in enumerate(targets)
        )
        text = f"""apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {{name: {name}}}
spec:
  tasks:
    - {{name: v, value: 1}}
{tasks}---
apiVersion: activityctl/v1
kind: Subscription
metadata: {{name: {name}-sub}}
spec: {{activity: {name}}}
"""
        (folder / f"{name}.yaml").write_text(text)
    checked = check_files(
        wiring.manifest_source(), [str(folder)], wiring.known_kinds(), recursive=False
    )
    return [f"{Path(each.file).stem}:{each.line}: {each.reason}" for each in checked.problems]


def test_no_circle_is_no_problem(tmp_path: Path):
    assert problems(tmp_path, a=["b-sub", "c-sub"], b=["c-sub"], c=["elsewhere"]) == []


def test_a_circle_is_said_at_each_of_its_tasks(tmp_path: Path):
    assert problems(tmp_path, a=["b-sub"], b=["c-sub"], c=["a-sub"], d=["a-sub"]) == [
        "a:7: starts this automation again: a -> b -> c -> a",
        "b:7: starts this automation again: b -> c -> a -> b",
        "c:7: starts this automation again: c -> a -> b -> c",
    ]


def test_an_automation_that_starts_itself_is_said(tmp_path: Path):
    assert problems(tmp_path, a=["a-sub"]) == ["a:7: starts this automation again: a -> a"]


@pytest.mark.parametrize(
    "form",
    [
        "{name: g, tasks: [%s]}",
        "{name: g, tasks: [{name: h, tasks: [%s], repeat: {max: 2}}]}",
        "{name: g, switch: {cases: [{when: 1 < 2, tasks: [%s]}]}}",
        (
            "{name: g, switch: {cases: [{when: run.id < '1', tasks: [{name: w, value: 1}]}],"
            " default: [%s]}}"
        ),
        "{name: g, value: 1, undo: [%s]}",
    ],
)
def test_a_circle_of_tasks_in_groups_is_said_too(tmp_path: Path, form: str):
    assert problems(tmp_path, form=form, a=["b-sub"], b=["a-sub"], c=["a-sub"])[-2:] == [
        "a:7: starts this automation again: a -> b -> a",
        "b:7: starts this automation again: b -> a -> b",
    ]
