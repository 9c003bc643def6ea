"""Each call of a workflow has a step of the same name and types."""

import inspect
import typing
from collections.abc import Callable
from typing import Any

import pytest
from temporalio import activity

from activityctl.steps.admit import AdmitStep
from activityctl.steps.execute import ExecuteStep
from activityctl.steps.execute_many import ExecuteManyStep
from activityctl.steps.record import RecordStep
from activityctl.steps.ring import RingStep
from activityctl.steps.settle import SettleStep
from activityctl.workflows import calls

STEPS = (AdmitStep, ExecuteStep, ExecuteManyStep, RecordStep, RingStep, SettleStep)
Named = dict[str, Callable[..., Any]]


def activities(owner: object) -> Named:
    """Return the Temporal activities of a module or class by their registered names."""
    found = (activity._Definition.from_callable(value) for value in vars(owner).values())
    return {step.name: step.fn for step in found if step is not None and step.name is not None}


def types(function: Callable[..., Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(function)
    names = [name for name in inspect.signature(function).parameters if name != "self"]
    return {"parameters": [(name, hints[name]) for name in names], "return": hints["return"]}


BODIES: Named = {name: body for step in STEPS for name, body in activities(step).items()}
CALLS = activities(calls)


def test_calls_and_steps_have_the_same_names() -> None:
    names = [
        "admit",
        "admit_many",
        "execute",
        "execute_many",
        "look_up",
        "record",
        "ring",
        "settle",
    ]
    assert sorted(CALLS) == sorted(BODIES) == names


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_step_has_the_types_of_its_call(name: str) -> None:
    call, body = types(CALLS[name]), types(BODIES[name])
    assert call["return"] == body["return"]
    assert call["parameters"] == body["parameters"]
