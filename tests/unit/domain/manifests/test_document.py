import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.manifests.document import (
    ABSENT,
    FieldChange,
    aligned,
    definition_document,
    differences,
    field_view,
    is_same_json,
    subscription_document,
)
from activityctl.domain.manifests.metadata import Metadata
from activityctl.domain.manifests.subscription import SubscriptionSpec

fast = settings(max_examples=150, deadline=None)

# Few of them, so that two documents often meet; odd ones, so that paths could be confused.
words = st.sampled_from(["a", "b", "name", "a.b", "", ".", "a[a]", "[a]", 'a"]', "a (order)", "é"])
exact = 2**53
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-exact, exact)
    | st.sampled_from([0, 1, 0.0, 1.0, 1.5, 1e300, "", "1", "a"])
)


def _grown(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    named = st.builds(lambda name, rest: {**rest, "name": name}, words, _objects(children))
    return (st.lists(children, max_size=3) | st.lists(named, min_size=1, max_size=3)) | _objects(
        children
    )


def _objects(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.dictionaries(words, children, max_size=3)


values = st.recursive(leaves, _grown, max_leaves=8)


def document(params: Any, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "activityctl/v1",
        "kind": "Subscription",
        "metadata": {"name": "sub", **metadata},
        "spec": {"activity": "digest", "params": params},
    }


def as_json(value: Any) -> Any:
    """Return what JSON says: numbers by their value, objects without order, true no number."""
    match value:
        case dict():
            return frozenset((key, as_json(child)) for key, child in value.items())
        case list():
            return tuple(as_json(child) for child in value)
        case bool() | str() | None:
            return (type(value).__name__, value)
        case _:
            return Fraction(value)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Any, Any]:
    """Return two values: strangers, or the second made from the first by one step."""
    one = draw(values)
    other = draw(values | st.just(one) | st.just(_respelled(one)))
    if isinstance(one, dict) and one and draw(st.booleans()):
        other = {**one, draw(words): draw(values)}
    return one, other


def _respelled(value: Any) -> Any:
    """Return the same JSON with keys turned around and whole floats as integers."""
    match value:
        case dict():
            return {key: _respelled(child) for key, child in reversed(value.items())}
        case list():
            return [_respelled(child) for child in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


@fast
@given(pairs())
@example(({"a.b": 1}, {"a": {"b": 1}}))
@example(({"": {"": 1}}, {".": 1}))
@example(({"a": [{"name": "a", "b": 1}]}, {"a[a]": {"b": 1}}))
@example(({"a": [{"name": 'a"].b'}]}, {"a": [{"name": "a"}]}))
@example(({"a": [{"name": "x"}, {"name": "y"}]}, {"a": [{"name": "y"}, {"name": "x"}]}))
@example(({"a": []}, {"a": {}}))
@example(({"a": {}}, {}))
@example(({"a": None}, {}))
@example(({"a": True}, {"a": 1}))
@example(({"a": 1.0}, {"a": 1}))
def test_documents_differ_in_no_field_exactly_when_they_are_the_same_json(pair: tuple[Any, Any]):
    one, other = (document(value) for value in pair)
    is_same = as_json(one) == as_json(other)
    assert (differences(one, other) == ()) is is_same
    assert is_same_json(one, other) is is_same


@fast
@given(pairs())
def test_the_way_back_has_the_same_fields_turned_around(pair: tuple[Any, Any]):
    one, other = (document(value) for value in pair)
    there = {(change.path, str(change.old), str(change.new)) for change in differences(one, other)}
    back = {(change.path, str(change.new), str(change.old)) for change in differences(other, one)}
    assert there == back


@fast
@given(values)
def test_no_two_fields_of_a_document_share_a_path(value: Any):
    paths = [change.path for change in differences(None, document({"a": value}))]
    assert len(set(paths)) == len(paths)


@fast
@given(pairs())
def test_aligning_changes_no_content_and_leaves_nothing_to_see_of_the_same_content(
    pair: tuple[Any, Any],
):
    one, other = pair
    assert is_same_json(aligned(one, other), one)
    if is_same_json(one, other):
        assert json.dumps(aligned(one, other)) == json.dumps(other)


def test_a_change_of_one_field_names_it_with_old_and_new():
    old = document({"threshold": 1, "region": "eu"}, labels={"team": "a"})
    new = document({"threshold": 2, "region": "eu"}, labels={"team": "a"})
    assert differences(old, new) == (FieldChange("spec.params.threshold", 1, 2),)


def test_list_items_are_told_by_their_name():
    def tasks(*items: dict[str, Any]) -> dict[str, Any]:
        return document({"tasks": list(items)})

    old = tasks({"name": "score", "retry": {"maxAttempts": 1}}, {"name": "review"})
    new = tasks({"name": "review"}, {"name": "score", "retry": {"maxAttempts": 5}})
    assert differences(old, new) == (
        FieldChange("spec.params.tasks (order)", ["score", "review"], ["review", "score"]),
        FieldChange("spec.params.tasks[score].retry.maxAttempts", 1, 5),
    )


@pytest.mark.parametrize(
    ("label", "path"),
    [
        ("team", "metadata.labels.team"),
        ("app.example/team", 'metadata.labels["app.example/team"]'),
        ("a\nb", 'metadata.labels["a\\nb"]'),
        ("größe", "metadata.labels.größe"),
    ],
)
def test_a_key_that_is_no_plain_word_is_quoted_in_the_path(label: str, path: str):
    (change,) = differences(document({}), document({}, labels={label: "x"}))
    assert change == FieldChange(path, ABSENT, "x")


@pytest.mark.parametrize("empty", [None, "", [], {}, 0, False])
def test_explicitly_empty_is_not_absent(empty: Any):
    (gone,) = differences(document({"a": 1, "b": empty}), document({"a": 1}))
    assert gone == FieldChange("spec.params.b", empty, ABSENT)
    (come,) = differences(document({"a": 1}), document({"a": 1, "b": empty}))
    assert come == FieldChange("spec.params.b", ABSENT, empty)
    assert field_view(come) == {"path": "spec.params.b", "new": empty}
    assert field_view(gone) == {"path": "spec.params.b", "old": empty}


def test_no_two_kinds_of_empty_are_the_same():
    empties = [None, "", [], {}, 0, False]
    for place, one in enumerate(empties):
        for other in empties[place + 1 :]:
            assert differences(document({"a": one}), document({"a": other}))


def test_a_document_that_comes_or_goes_has_all_its_fields():
    whole = document({"a": 1}, labels={"team": "a"})
    paths = {"metadata.labels.team", "spec.activity", "spec.params.a"}
    assert {change.path for change in differences(None, whole)} == paths
    assert {change.path for change in differences(whole, None)} == paths
    assert all(change.old is ABSENT for change in differences(None, whole))
    assert all(change.new is ABSENT for change in differences(whole, None))
    assert differences(None, None) == ()


@pytest.mark.parametrize("number", [1e22, 1e300, -1e19])
def test_a_large_float_is_the_integer_that_a_database_makes_of_it(number: float):
    assert differences(document({"n": number}), document({"n": int(number)})) == ()
    assert differences(document({"n": number}), document({"n": number * 2}))


def test_integers_are_compared_to_the_last_digit():
    assert differences(document({"n": 2**53}), document({"n": 2**53 + 1}))


def test_documents_leave_defaults_out_and_keep_what_was_said():
    metadata = Metadata(name="digest", labels={}, annotations={"note": ""})
    spec = DefinitionSpec.model_validate_json(
        '{"timeout": "1d", "params": {}, "tasks": [{"name": "a", "say": {"to": []}}]}'
    )
    assert definition_document(metadata, spec) == {
        "apiVersion": "activityctl/v1",
        "kind": "ActivityDefinition",
        "metadata": {"name": "digest", "annotations": {"note": ""}},
        "spec": {"tasks": [{"name": "a", "say": {"to": []}}]},
    }
    paused = SubscriptionSpec(activity="digest", paused=False, triggers={"nightly": None})
    assert subscription_document(Metadata(name="sub"), paused)["spec"] == {
        "activity": "digest",
        "triggers": {"nightly": None},
        "paused": False,
    }
