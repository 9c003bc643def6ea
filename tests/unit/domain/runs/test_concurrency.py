"""The gate (concurrency and throttle): keys, decisions and reasons."""

from datetime import timedelta
from typing import Any

import pytest

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.concurrency import (
    GateResult,
    Occupancy,
    QueuedRun,
    decide_gate,
    decide_queue,
    gate_keys,
    throttle_opens_at,
)
from activityctl.domain.values import ids
from activityctl.domain.values.group_key import LONGEST_KEY
from activityctl.errors import ExpressionError
from support.gates import HOUR, NOW, SECOND, run, spec


def runs(names: str) -> tuple[ids.RunId, ...]:
    return tuple(ids.RunId(name * 12) for name in names)


def decide(
    definition: DefinitionSpec,
    taken: str = "",
    queued: str = "",
    started: tuple[timedelta, ...] = (),
    *,
    is_throttle_queued: bool = False,
    **fields: Any,
) -> GateResult:
    moments = tuple(NOW - ago for ago in started)
    occupancy = Occupancy(runs(taken), runs(queued), moments, is_throttle_queued)
    return decide_gate(definition, occupancy, run(**fields), NOW)


# ---- keys ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("eu", "eu"),
        ("", ""),
        (7, "7"),
        (True, "true"),
        (None, "null"),
        ({"b": [1], "a": "ä"}, '{"a":"ä","b":[1]}'),
        ("a\0b", "a\ufffdb"),
    ],
)
def test_a_key_is_text_and_other_values_become_json(value: object, key: str):
    definition = spec("skip", key="${ trigger.payload.x }")
    assert gate_keys(run(payload={"x": value}), definition, NOW) == (key, None)


def test_a_limit_without_a_key_has_an_empty_key_and_no_limit_has_none():
    assert gate_keys(run(), spec("queue", {"limit": 1, "per": "1h"}), NOW) == ("", "")
    assert gate_keys(run(), spec(), NOW) == (None, None)


def test_a_key_may_combine_params_and_text():
    throttle = {"limit": 1, "per": "1h", "key": "${ params.account }/${ trigger.name }"}
    keys = gate_keys(run(params={"account": 3}), spec(throttle=throttle), NOW)
    assert keys == (None, "3/manual")


def test_long_keys_are_shortened_and_stay_different():
    definition = spec("skip", key="${ trigger.payload.x }")
    long = ["é" * 5000, "é" * 5001]
    first, second = (gate_keys(run(payload={"x": x}), definition, NOW)[0] or "" for x in long)
    assert first != second
    assert len(first) == len(second) == LONGEST_KEY
    exact = "k" * LONGEST_KEY
    assert gate_keys(run(payload={"x": exact}), definition, NOW)[0] == exact


def test_a_key_that_fails_is_an_expression_error():
    with pytest.raises(ExpressionError, match=r"^concurrency\.key: .*absent"):
        gate_keys(run(), spec("skip", key="${ trigger.payload.absent }"), NOW)


# ---- decisions -----------------------------------------------------------------------


def test_without_limits_every_run_is_let_in():
    assert decide(spec(), "abc") == GateResult("let_in")


@pytest.mark.parametrize(
    ("taken", "limit", "reason"),
    [
        ("a", 1, "run aaaaaaaa is still running (concurrency policy skip, limit 1)"),
        ("ab", 2, "runs aaaaaaaa and bbbbbbbb are still running (concurrency policy skip, limit 2"),
        ("abc", 3, "runs aaaaaaaa, bbbbbbbb and cccccccc are still running"),
        ("abcd", 4, "runs aaaaaaaa, bbbbbbbb and 2 more are still running"),
    ],
)
def test_skip_names_the_runs_that_are_still_running(taken: str, limit: int, reason: str):
    result = decide(spec("skip", limit=limit), taken)
    assert (result.outcome, result.replaces) == ("skipped", ())
    assert (result.reason or "").startswith(reason)
    assert decide(spec("skip", limit=limit), taken[1:]) == GateResult("let_in")


def test_the_reason_names_the_key_and_shortens_a_long_one():
    definition = spec("skip")
    assert (decide(definition, "a", concurrency_key="eu").reason or "").endswith("1, key eu)")
    long = decide(definition, "a", concurrency_key="k" * 99).reason or ""
    assert long.endswith(f", key {'k' * 39}…)")


def test_queue_lets_a_run_in_when_a_slot_is_free_and_no_run_waits():
    definition = spec("queue", limit=2)
    policy = "(concurrency policy queue, limit 2)"
    assert decide(definition, "a") == GateResult("let_in")
    assert decide(definition, "ab") == GateResult("queued", f"waiting for 2 runs {policy}")
    assert decide(definition, "a", "b") == GateResult("queued", f"waiting for 2 runs {policy}")
    assert decide(definition, "", "b") == GateResult("queued", f"waiting for 1 run {policy}")
    reason = decide(definition, "ab", "c" * 100).reason or ""
    assert reason.startswith("waiting for at least 102 runs")


def test_replace_keeps_the_newest_runs():
    limit_1, limit_2 = spec("replace"), spec("replace", limit=2)
    assert decide(limit_1) == GateResult("let_in")
    assert decide(limit_1, "a").outcome == "queued"
    assert decide(limit_1, "a").replaces == runs("a")
    assert decide(limit_1, "a", "bc").replaces == runs("abc")
    assert decide(limit_2, "a") == GateResult("let_in")
    assert decide(limit_2, "ab").replaces == runs("a")
    assert decide(limit_2, "ab", "c").replaces == runs("ab")
    assert decide(limit_2, "abcd").replaces == runs("abc")  # the limit was lowered
    assert decide(limit_1, "", "a") == GateResult("let_in", replaces=runs("a"))


def test_a_throttle_counts_the_starts_within_its_period():
    definition = spec(throttle={"limit": 2, "per": "1h"})
    assert decide(definition, started=(2 * HOUR, HOUR, SECOND)) == GateResult("let_in")
    refused = decide(definition, started=(HOUR - SECOND, SECOND))
    reason = "throttled: at most 2 runs in 1h; the next may start at 2026-05-01T12:00:01Z"
    assert refused == GateResult("skipped", reason)
    later = decide(definition, started=(3 * SECOND, 2 * SECOND, SECOND), throttle_key="k")
    # The limit was lowered: more than one start has to leave the period.
    reason = "throttled: at most 2 runs in 1h, key k; the next may start at 2026-05-01T12:59:58Z"
    assert later.reason == reason


def test_the_time_in_the_reason_is_never_too_early():
    throttle = spec(throttle={"limit": 1, "per": "1h"}).throttle
    started = [NOW + timedelta(milliseconds=1) - HOUR]
    assert throttle_opens_at(throttle, started, NOW) == NOW + timedelta(milliseconds=1)
    reason = decide(spec(throttle={"limit": 1, "per": "1h"}), started=(NOW - started[0],)).reason
    assert (reason or "").endswith("2026-05-01T12:00:01Z")
    assert throttle_opens_at(throttle, started, NOW + timedelta(milliseconds=1)) is None


def test_runs_beyond_a_throttle_may_queue():
    definition = spec(throttle={"limit": 1, "per": "1h", "excess": "queue"})
    assert decide(definition) == GateResult("let_in")
    waits = decide(definition, started=(SECOND,))
    assert waits.outcome == "queued"
    reason = "waiting for the throttle: at most 1 run in 1h; the next may start"
    assert (waits.reason or "").startswith(reason)
    later = decide(definition, is_throttle_queued=True)
    assert later == GateResult("queued", "waiting for the throttle: at most 1 run in 1h")
    skips = spec(throttle={"limit": 1, "per": "1h"})
    assert decide(skips, is_throttle_queued=True) == GateResult("let_in")


def test_concurrency_comes_before_the_throttle_and_a_skipped_run_replaces_none():
    throttle = {"limit": 1, "per": "1h"}
    full = decide(spec("skip", throttle), "a", started=(SECOND,))
    assert "still running" in (full.reason or "")
    skipped = decide(spec("replace", throttle), "a", started=(SECOND,))
    assert (skipped.outcome, skipped.replaces) == ("skipped", ())


# ---- the queue -----------------------------------------------------------------------


def waiting(name: str, definition: DefinitionSpec, key: str | None, throttle: str | None = None):
    return QueuedRun(runs(name)[0], key, throttle, definition)


def test_a_run_that_waits_for_the_throttle_blocks_later_runs_of_its_keys_only():
    throttle = {"limit": 1, "per": "1h", "excess": "queue"}
    definition = spec("queue", throttle)
    queue = [
        waiting("a", definition, "p", "t"),
        waiting("b", definition, "p", "free"),
        waiting("c", definition, "q", "t"),
        waiting("d", definition, "q", "free"),
        waiting("e", definition, "r", "free"),
    ]
    decided = decide_queue(queue, {}, {"t": [NOW]}, NOW, 9)
    assert decided == [(runs("e")[0], GateResult("let_in"))]


def test_a_run_that_waits_for_a_slot_does_not_block_the_throttle():
    definition = spec("queue", {"limit": 2, "per": "1h", "excess": "queue"})
    queue = [waiting(name, definition, key, "t") for name, key in ("ap", "bq", "cr", "ds")]
    decided = decide_queue(queue, {"p": runs("z")}, {}, NOW, 9)
    assert [name for name, _ in decided] == [*runs("bc")]


def test_a_throttled_run_is_not_skipped_before_its_turn():
    definition = spec("skip", {"limit": 1, "per": "1h", "excess": "queue"})
    queue = [waiting("a", definition, "p", "t")]
    assert decide_queue(queue, {"p": runs("z")}, {"t": [NOW]}, NOW, 9) == []
    ((_, result),) = decide_queue(queue, {"p": runs("z")}, {}, NOW, 9)
    assert result.outcome == "skipped"


def test_every_run_let_in_counts_for_the_next():
    queue = [waiting(name, spec("queue", limit=2), "p") for name in "abc"]
    assert [name for name, _ in decide_queue(queue, {"p": runs("z")}, {}, NOW, 9)] == [*runs("a")]
    throttle = {"limit": 2, "per": "1h", "excess": "queue"}
    queue = [waiting(name, spec(throttle=throttle), None, "t") for name in "abc"]
    assert [name for name, _ in decide_queue(queue, {}, {"t": [NOW]}, NOW, 9)] == [*runs("a")]


def test_a_newer_revision_with_a_wider_throttle_does_not_overtake():
    old, new = (spec(throttle={"limit": limit, "per": "1h", "excess": "queue"}) for limit in (1, 5))
    queue = [waiting("a", old, None, "t"), waiting("b", new, None, "t")]
    assert decide_queue(queue, {}, {"t": [NOW]}, NOW, 9) == []
    assert len(decide_queue(queue, {}, {}, NOW, 9)) == 2


def test_no_more_are_decided_on_than_asked_for():
    queue = [waiting(name, spec("queue", limit=9), "p") for name in "abc"]
    assert [name for name, _ in decide_queue(queue, {}, {}, NOW, 2)] == [*runs("ab")]
