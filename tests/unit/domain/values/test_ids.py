import math
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activityctl.domain.values import ids

SUBSCRIPTION = "47670438-d5af-5ccf-8e01-2b0b4f36f82e"
RUN = "c97206f8-67eb-59d5-bec2-6742149be418"
TASK = "e1b737c1-d35b-5f4b-b88a-4304342c7db7"
FIRING = "2e7d0945-8881-5388-812b-8c30a9ca5fb6"
LETTER = "7e096afc-f52a-5e90-8003-9a93f84751a9"
REVISION = "bb25621370830b90546b2fa754b860c33a2666b7b3e5337b50e4f111c0f42c2c"
PARTS = st.text("ab/-0", max_size=4)


def test_ids_have_not_changed_since_the_first_release():
    """Ids are stored in Postgres and Temporal: another value would double runs and schedules."""
    subscription = ids.subscription_id("eu-orders")
    run = ids.run_id(subscription, "nightly", "2026-05-01T02:00:00Z")
    assert subscription == SUBSCRIPTION
    assert run == RUN
    assert ids.task_id(run, "score", 0) == TASK
    assert ids.firing_id(subscription, "manual", "manual/1") == FIRING
    assert ids.dead_letter_id(run) == LETTER
    assert ids.revision_id("digest", {"tasks": [{"name": "ä"}]}) == REVISION


@given(PARTS, st.text("aé/\U0001f600"))
def test_an_id_is_the_uuid_of_version_5_of_its_parts(source: str, sender_id: str):
    root = uuid.uuid5(uuid.NAMESPACE_URL, "urn:activityctl")
    name = f"event\x1f{source}\x1f{sender_id}"
    assert ids.event_id(source, sender_id) == str(uuid.uuid5(root, name))


def test_ids_in_temporal_can_be_read():
    assert ids.schedule_id("s", "nightly") == "schedule/s/nightly"
    assert ids.scheduled_workflow_id("s", "nightly") == "run/s/nightly"
    assert ids.workflow_id("s", "nightly", "k") == "run/s/nightly/k"


@given(st.tuples(PARTS, PARTS, PARTS), st.tuples(PARTS, PARTS, PARTS))
def test_different_firings_are_different_runs(first: tuple[str, ...], other: tuple[str, ...]):
    assert (ids.run_id(*first) == ids.run_id(*other)) is (first == other)
    assert (ids.firing_id(*first) == ids.firing_id(*other)) is (first == other)


def test_ids_of_different_things_differ():
    parts = ("a", "b", "c")
    found = [ids.run_id(*parts), ids.firing_id(*parts), ids.subscription_id("a")]
    found += [ids.dead_letter_id("a"), ids.task_id("a", "b", 0), ids.task_id("a", "b", 1)]
    assert len(set(found)) == len(found)


def test_the_content_hash_ignores_only_the_order_of_keys():
    assert ids.content_hash({"a": 1, "b": [1, 2]}) == ids.content_hash({"b": [1, 2], "a": 1})
    variants = [{"a": 1}, {"a": True}, {"a": "1"}, {"a": [1]}, {"a": None}, {}, {"b": 1}]
    assert len({ids.content_hash(variant) for variant in variants}) == len(variants)
    assert ids.content_hash([1, 2]) != ids.content_hash([2, 1])


def test_canonical_json_is_compact_and_keeps_non_ascii_letters():
    assert ids.canonical_json({"b": "é", "a": [1, None]}) == '{"a":[1,null],"b":"é"}'


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_value_that_is_not_json_has_no_hash(number: float):
    with pytest.raises(ValueError, match="not JSON compliant"):
        ids.content_hash({"a": number})
