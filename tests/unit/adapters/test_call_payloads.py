"""Calls are converted as the SDK converts them, whoever wrote the payload."""

from typing import Any

import pytest
from pydantic import ValidationError
from temporalio.api.common.v1 import Payload
from temporalio.converter import JSONPlainPayloadConverter

from activityctl.adapters.temporal.payload_codec import ReadableConverter
from activityctl.domain.timing.firing import FiringCause, FiringRef, Ringing
from activityctl.workflows.calls import CallEnd, Orders, Rung, StopOrder, TaskOrder

FIRING = FiringRef("s", "nightly", "k", "2026-11-29T00:00:00+00:00", "w", FiringCause.ALARM, "n")
PLAIN = TaskOrder("s", "r", "t", 3, 60.0)
ORDER = TaskOrder("s", "r", "t", 1, 0.5, 9.0, takes_next=True, heartbeat_seconds=2.0, strategy="x")
ORDERS = Orders("r", is_over=False, start=[PLAIN, ORDER], settle_in_seconds=0.0, done=["t"])
OVER = Orders("r", is_over=True, ended_as="succeeded")
SDK, OURS = JSONPlainPayloadConverter(), ReadableConverter()
VALUES = [
    (FIRING, FiringRef),
    ([FIRING, FIRING], list[FiringRef]),
    (Ringing("alarm/1"), Ringing),
    (ORDER, TaskOrder),
    ([PLAIN, ORDER], list[TaskOrder]),
    (ORDERS, Orders),
    ([OVER], list[Orders]),
    ([ORDERS, None, OVER], list[Orders | None]),
    ([None], list[Orders | None]),
    ([CallEnd("t", OVER), CallEnd("u", again_seconds=1.5)], list[CallEnd]),
    (StopOrder("r", "failed", "why", waits=True), StopOrder),
    (Rung(is_complete=True, firings=[FIRING]), Rung),
    (["a", {"b": 1}], list[Any]),
    ("r", str),
    (None, type(None)),
]


def ours(value: Any) -> Payload:
    (payload,) = OURS.to_payloads([value])
    return payload


@pytest.mark.parametrize(("value", "hint"), VALUES)
def test_what_is_written_can_be_read_by_older_workers_and_the_other_way_round(
    value: Any, hint: Any
):
    payload = ours(value)
    assert OURS.from_payloads([payload], [hint]) == [value]
    if value is not None:
        assert SDK.from_payload(payload, hint) == value
        assert OURS.from_payloads([SDK.to_payload(value)], [hint]) == [value]


def test_what_a_newer_worker_adds_is_left_out():
    payload = Payload(
        metadata={"encoding": b"json/plain"},
        data=b'{"task_id":"t","orders":{"run_id":"r","is_over":true,"new":[1]},"newer":{}}',
    )
    assert OURS.from_payloads([payload], [CallEnd]) == [CallEnd("t", Orders("r", is_over=True))]


def test_a_value_of_another_type_is_refused():
    with pytest.raises(ValidationError):
        OURS.from_payloads([ours(StopOrder("r", "failed", "why"))], [TaskOrder])


def test_defaults_take_no_place():
    assert ours(OVER).data == b'{"run_id":"r","is_over":true,"ended_as":"succeeded"}'
