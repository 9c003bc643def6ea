"""Retry policies: how long a task waits between two attempts."""

import json
from datetime import timedelta
from typing import Any

import pytest

from activityctl.domain.tasks.retry import RetryPolicy


@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        ({}, [1, 2, 4, 8]),
        ({"initialInterval": "2s", "backoff": 1}, [2, 2, 2, 2]),
        ({"initialInterval": "500ms", "backoff": 3, "maxInterval": "4s"}, [0.5, 1.5, 4, 4]),
        ({"initialInterval": "10m"}, [300, 300, 300, 300]),
    ],
)
def test_the_wait_between_attempts_grows_up_to_its_limit(
    policy: dict[str, Any], waits: list[float]
):
    retry = RetryPolicy.model_validate_json(json.dumps(policy))
    assert [retry.wait_after(attempt).total_seconds() for attempt in (1, 2, 3, 4)] == waits


def test_a_server_can_ask_for_a_longer_wait_up_to_the_limit():
    retry = RetryPolicy(max_interval=timedelta(seconds=10))
    asked = [timedelta(seconds=seconds) for seconds in (0, 7, 3600)]
    assert [retry.wait_after(2, wait).total_seconds() for wait in asked] == [2, 7, 10]


def test_the_wait_after_many_attempts_does_not_overflow():
    retry = RetryPolicy(backoff=100.0, max_interval=timedelta(days=3650))
    assert retry.wait_after(1_000) == timedelta(days=3650)
