"""Retry policies: how long a task waits between two attempts."""

import json
from datetime import timedelta
from typing import Any

import pytest

from activityctl.domain.tasks.failure import Failure
from activityctl.domain.tasks.next_attempt import NextAttempt, TimeBudget, next_attempt
from activityctl.domain.tasks.retry import RetryPolicy, chance_of
from activityctl.domain.values.model import WRITTEN


@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        ({}, [1, 2, 4, 8]),
        ({"initialInterval": "2s", "backoff": 1}, [2, 2, 2, 2]),
        ({"initialInterval": "500ms", "backoff": 3, "maxInterval": "4s"}, [0.5, 1.5, 3.6, 3.6]),
        ({"initialInterval": "10m", "jitter": 0}, [300, 300, 300, 300]),
    ],
)
def test_the_wait_between_attempts_grows_up_to_its_limit(
    policy: dict[str, Any], waits: list[float]
):
    retry = RetryPolicy.model_validate_json(json.dumps(policy))
    assert [retry.wait_after(attempt).total_seconds() for attempt in (1, 2, 3, 4)] == waits


def test_a_server_can_ask_for_a_longer_wait_up_to_the_limit():
    retry = RetryPolicy(max_interval=timedelta(seconds=10), jitter=0)
    asked = [timedelta(seconds=seconds) for seconds in (0, 7, 3600)]
    assert [retry.wait_after(2, wait).total_seconds() for wait in asked] == [2, 7, 10]


def test_the_wait_after_many_attempts_does_not_overflow():
    retry = RetryPolicy(backoff=100.0, max_interval=timedelta(days=3650), jitter=0)
    assert retry.wait_after(1_000) == timedelta(days=3650)


def policy(**fields: Any) -> RetryPolicy:
    return RetryPolicy.model_validate_json(json.dumps(fields), context=WRITTEN)


def failure(code: str = "unexpected_status", *, may_retry: bool = True, **facts: Any) -> Failure:
    return Failure("no", code, facts.pop("attempt", 1), may_retry, **facts)


def test_the_jitter_keeps_every_wait_in_its_range_and_up_to_the_longest():
    retry = policy(initialInterval="10s", maxInterval="11s")
    waits = [retry.wait_after(1, chance=chance).total_seconds() for chance in (0, 0.5, 1)]
    assert waits == [8, 9.5, 11]
    asked = timedelta(seconds=9)
    assert [retry.wait_after(1, asked, chance).total_seconds() for chance in (0, 1)] == [9, 11]


def test_the_jitter_of_an_attempt_is_always_the_same_and_spreads_a_thousand_tasks():
    chances = [chance_of(f"task-{number}", 2) for number in range(1_000)]
    assert chances == [chance_of(f"task-{number}", 2) for number in range(1_000)]
    assert chance_of("task-1", 1) != chance_of("task-1", 2)
    for tenth in range(10):
        assert 60 < sum(tenth <= 10 * chance < tenth + 1 for chance in chances) < 140


@pytest.mark.parametrize(
    ("fields", "kind", "body", "attempts"),
    [
        ({}, "http", {"url": "https://a.example"}, 3),
        ({}, "http", {"method": "DELETE"}, 3),
        ({}, "http", {"method": "POST"}, 1),
        ({}, "http", {"method": "PATCH"}, 1),
        ({}, "http", None, 1),
        ({}, "emit", {}, 3),
        ({}, "command", {}, 1),
        ({}, "python", {"strategy": "s", "executorAddress": "0x", "relay": None}, 1),
        ({}, "python", {"strategy": "s", "relay": {"relayers": ["r"]}}, 3),
        ({"backoff": 1}, "command", {}, 3),
        ({"maxAttempts": 1}, "http", {"method": "GET"}, 1),
        ({"maxAttempts": 7, "jitter": 0}, "command", {}, 7),
    ],
)
def test_only_what_is_safe_to_repeat_is_repeated_without_a_policy(
    fields: dict[str, Any], kind: str, body: Any, attempts: int
):
    assert policy(**fields).attempts_of(kind, body) == attempts


def test_a_policy_that_an_earlier_version_has_stored_keeps_its_one_attempt():
    stored = RetryPolicy.model_validate_json(json.dumps({"initialInterval": "5s"}))
    assert stored.attempts_of("http", {"method": "GET"}) == 1


@pytest.mark.parametrize(
    ("fields", "failed", "repeats"),
    [
        ({}, failure(), True),
        ({}, failure(may_retry=False), False),
        ({"nonRetryable": {"status": [503]}}, failure(status=503), False),
        ({"nonRetryable": {"status": "5xx"}}, failure(status=503), False),
        ({"nonRetryable": {"status": "5xx"}}, failure(status=429), True),
        ({"nonRetryable": {"code": "timeout"}}, failure("timeout"), False),
        ({"nonRetryable": {"when": "error.attempt > 2"}}, failure(attempt=2), True),
        ({"nonRetryable": {"when": "error.attempt > 2"}}, failure(attempt=3), False),
        ({"retryable": {"status": [404]}}, failure(status=404, may_retry=False), True),
        ({"retryable": {"status": [404]}}, failure(status=403, may_retry=False), False),
        (
            {"retryable": {"status": ["4xx"]}, "nonRetryable": {"status": 404}},
            failure(status=404, may_retry=False),
            False,
        ),
        (
            {"retryable": {"when": "error.output.exitCode == 3"}},
            failure("exit_code", may_retry=False, output={"exitCode": 3}),
            True,
        ),
        ({"retryable": {"code": "not_allowed"}}, failure("not_allowed", may_retry=False), False),
    ],
)
def test_classes_of_failures_change_what_is_repeated(
    fields: dict[str, Any], failed: Failure, *, repeats: bool
):
    assert policy(**fields).repeats(failed) is repeats


def test_a_failure_is_final_when_the_next_attempt_would_begin_too_late():
    retry, failed = policy(initialInterval="10s", jitter=0), failure()
    hour = timedelta(hours=1)

    def after(used: timedelta, **limits: timedelta) -> NextAttempt:
        return next_attempt(retry, failed, TimeBudget(used, **limits))

    assert after(hour) == NextAttempt(timedelta(seconds=10))
    assert after(timedelta(minutes=59), total=hour, max_age=hour).wait is not None
    late = timedelta(minutes=59, seconds=50)
    assert after(late, max_age=hour) == NextAttempt(
        None, "; not repeated, because retry.maxAge is 1h"
    )
    assert after(late, total=hour).note == "; not repeated, because timeout.total is 1h"


def test_an_error_in_an_expression_of_a_policy_makes_the_failure_final():
    retry = policy(nonRetryable={"when": "error.output.exitCode == 3"})
    following = next_attempt(retry, failure(output="text"), TimeBudget(timedelta(0)))
    assert following.wait is None
    assert "because of an error in retry" in following.note
