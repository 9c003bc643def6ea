"""Automations that start one another in a circle are refused where the files show it."""

from pathlib import Path

from activityctl import wiring
from activityctl.operations.gitops.load import check_files


def problems(folder: Path, **starts: list[str]) -> list[str]:
    """Return the problems of definitions that start subscriptions, each with one of its name."""
    for name, targets in starts.items():
        tasks = "".join(
            f"    - {{name: t{index}, activity: {{subscription: {target}}}}}\n"
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
