"""Firings share workflows when their runs are known to be short, and keep their order."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.workflow_batches import BATCH, MOST_TASKS, split_into_batches
from activityctl.domain.timing.firing import FiringCause, FiringRef

NOON = "2026-03-02T12:00:00+00:00"
TASK = {"command": {"argv": ["true"]}}


def spec(**fields: Any) -> DefinitionSpec:
    whole = {"tasks": [{"name": "one", **TASK}], **fields}
    return DefinitionSpec.model_validate_json(json.dumps(whole))


def tasks(count: int) -> list[dict[str, Any]]:
    return [{"name": f"task-{number}", **TASK} for number in range(count)]


def firing(number: int, owner: str = "short") -> FiringRef:
    return FiringRef(owner, "paid", f"event-{number}", NOON, f"run/{owner}/paid/event-{number}")


SHORT = {"short": spec()}


def split(
    asked: Sequence[FiringRef], specs: Mapping[str, DefinitionSpec]
) -> list[tuple[FiringRef, ...]]:
    """Split the firings; `specs` has the definitions by subscription."""
    known = [each for each in asked if each.subscription_id in specs]
    return split_into_batches(asked, {each.run_id: specs[each.subscription_id] for each in known})


def test_many_firings_are_split_into_full_batches_and_a_rest() -> None:
    groups = split([firing(number) for number in range(2 * BATCH + 3)], SHORT)
    assert [len(group) for group in groups] == [BATCH, BATCH, 3]


def test_all_firings_of_a_batch_have_the_same_workflow_id_and_keep_their_run_ids() -> None:
    asked = [firing(number) for number in range(3)]
    (batch,) = split(asked, SHORT)
    (name,) = {member.workflow_id for member in batch}
    assert name.startswith("batch/")
    assert [member.run_id for member in batch] == [each.run_id for each in asked]


def test_the_same_firings_ask_for_the_same_workflow() -> None:
    first, again = (split([firing(1), firing(2)], SHORT) for _ in range(2))
    assert first == again
    assert split([firing(1), firing(3)], SHORT) != first


def test_a_single_firing_keeps_its_own_workflow() -> None:
    assert split([firing(1)], SHORT) == [(firing(1),)]


@pytest.mark.parametrize(
    "long",
    [
        spec(tasks=tasks(MOST_TASKS + 1)),
        spec(tasks=tasks(MOST_TASKS), onFailure=[{"name": "page", **TASK}]),
        spec(tasks=[{"name": "each", "forEach": [1, 2], **TASK}]),
        spec(onFailure=[{"name": "each", "forEach": [1, 2], **TASK}]),
    ],
    ids=["many tasks", "many with onFailure", "a loop", "a loop on failure"],
)
def test_runs_that_may_take_long_have_a_workflow_each(long: DefinitionSpec) -> None:
    asked = [firing(number, "long") for number in range(3)]
    assert split(asked, {"long": long}) == [(each,) for each in asked]


@pytest.mark.parametrize(
    "short",
    [
        spec(tasks=tasks(MOST_TASKS)),
        spec(context=[{"name": "before", "runs": {}}]),
        spec(context=[{"name": "customer", "crm": {}}]),
    ],
    ids=["some tasks", "earlier runs as context", "a slow context"],
)
def test_short_runs_share_a_workflow(short: DefinitionSpec) -> None:
    (batch,) = split([firing(number) for number in range(3)], {"short": short})
    assert len(batch) == 3


def test_firings_of_the_clock_share_a_workflow_once_they_are_decided() -> None:
    key = "2026-03-02T12:00:00Z"
    decided = FiringRef("short", "daily", key, NOON, "x", FiringCause.OUTBOX)
    (batch,) = split([decided, firing(1), firing(2)], SHORT)
    assert len(batch) == 3
    undecided = FiringRef("short", "daily", key, NOON, "x", FiringCause.ALARM)
    assert split([undecided, undecided], SHORT) == [(undecided,), (undecided,)]


def test_a_firing_of_an_unknown_subscription_has_its_own_workflow() -> None:
    assert split([firing(1, "gone"), firing(2, "gone")], SHORT) == [
        (firing(1, "gone"),),
        (firing(2, "gone"),),
    ]


@given(st.lists(st.sampled_from(["short", "long", "gone"]), max_size=100))
def test_each_firing_is_in_one_batch_and_the_order_stays(owners: list[str]) -> None:
    asked = [firing(number, owner) for number, owner in enumerate(owners)]
    groups = split(asked, {**SHORT, "long": spec(tasks=tasks(MOST_TASKS + 1))})
    assert [member.run_id for group in groups for member in group] == [
        each.run_id for each in asked
    ]
    assert all(1 <= len(group) <= BATCH for group in groups)
