"""A burst shares workflows where its runs are known to be short; everything keeps its order."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.workflow_batches import BATCH, MOST_TASKS, split_into_batches
from activityctl.domain.timing.firing import FiringRef

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


def test_a_burst_is_divided_into_full_batches_and_what_is_left() -> None:
    groups = split_into_batches([firing(number) for number in range(2 * BATCH + 3)], SHORT)
    assert [len(group) for group in groups] == [BATCH, BATCH, 3]


def test_all_firings_of_a_batch_name_one_workflow_and_keep_their_runs() -> None:
    asked = [firing(number) for number in range(3)]
    (batch,) = split_into_batches(asked, SHORT)
    (name,) = {one.workflow_id for one in batch}
    assert name.startswith("batch/")
    assert [one.run_id for one in batch] == [one.run_id for one in asked]


def test_the_same_firings_ask_for_the_same_workflow() -> None:
    first, again = (split_into_batches([firing(1), firing(2)], SHORT) for _ in range(2))
    assert first == again
    assert split_into_batches([firing(1), firing(3)], SHORT) != first


def test_a_firing_that_is_alone_keeps_its_own_workflow() -> None:
    assert split_into_batches([firing(1)], SHORT) == [(firing(1),)]


@pytest.mark.parametrize(
    "long",
    [
        spec(tasks=tasks(MOST_TASKS + 1)),
        spec(tasks=tasks(MOST_TASKS), onFailure=[{"name": "page", **TASK}]),
        spec(tasks=[{"name": "each", "forEach": [1, 2], **TASK}]),
        spec(onFailure=[{"name": "each", "forEach": [1, 2], **TASK}]),
        spec(context=[{"name": "customer", "crm": {}}]),
    ],
    ids=["many tasks", "many with onFailure", "a loop", "a loop on failure", "a look-up"],
)
def test_runs_that_may_be_long_have_a_workflow_each(long: DefinitionSpec) -> None:
    asked = [firing(number, "long") for number in range(3)]
    assert split_into_batches(asked, {"long": long}) == [(one,) for one in asked]


@pytest.mark.parametrize(
    "short",
    [spec(tasks=tasks(MOST_TASKS)), spec(context=[{"name": "before", "runs": {}}])],
    ids=["some tasks", "earlier runs as context"],
)
def test_runs_that_are_short_share(short: DefinitionSpec) -> None:
    (batch,) = split_into_batches([firing(number) for number in range(3)], {"short": short})
    assert len(batch) == 3


def test_a_clocks_firing_has_its_own_workflow() -> None:
    clock = FiringRef("short", "daily", "2026-03-02T12:00:00Z", NOON, "run/short/daily/x")
    assert split_into_batches([clock, firing(1), firing(2), clock], SHORT)[0] == (clock,)
    assert split_into_batches([clock, clock], SHORT) == [(clock,), (clock,)]


def test_a_firing_of_an_unknown_subscription_has_its_own_workflow() -> None:
    assert split_into_batches([firing(1, "gone"), firing(2, "gone")], SHORT) == [
        (firing(1, "gone"),),
        (firing(2, "gone"),),
    ]


@given(st.lists(st.sampled_from(["short", "long", "gone"]), max_size=100))
def test_each_firing_is_carried_once_and_in_its_order(owners: list[str]) -> None:
    asked = [firing(number, owner) for number, owner in enumerate(owners)]
    groups = split_into_batches(asked, {**SHORT, "long": spec(tasks=tasks(MOST_TASKS + 1))})
    assert [one.run_id for group in groups for one in group] == [one.run_id for one in asked]
    assert all(1 <= len(group) <= BATCH for group in groups)
