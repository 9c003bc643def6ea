"""Documents: comparing two of them, aligning them, and leaving out defaults."""

import itertools
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
from support.examples import examples

fast = settings(max_examples=examples(150), deadline=None)

# Few words, so that two documents often have equal keys; some could make two paths look equal.
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
    """Return a value that is equal for equal JSON: numbers by value, objects without order."""
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
    """Return two values: unrelated, equal, or the second with one change of the first."""
    left = draw(values)
    right = draw(values | st.just(left) | st.just(_respelled(left)))
    if isinstance(left, dict) and left and draw(st.booleans()):
        right = {**left, draw(words): draw(values)}
    return left, right


def _respelled(value: Any) -> Any:
    """Return the same JSON with keys in reverse order and whole floats as integers."""
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
def test_documents_have_no_differences_exactly_if_they_are_the_same_json(pair: tuple[Any, Any]):
    left, right = (document(value) for value in pair)
    is_same = as_json(left) == as_json(right)
    assert (differences(left, right) == ()) is is_same
    assert is_same_json(left, right) is is_same


@fast
@given(pairs())
def test_the_differences_in_reverse_have_the_same_fields(pair: tuple[Any, Any]):
    old, new = (document(value) for value in pair)
    forward = {(change.path, str(change.old), str(change.new)) for change in differences(old, new)}
    back = {(change.path, str(change.new), str(change.old)) for change in differences(new, old)}
    assert forward == back


@fast
@given(values)
def test_no_two_fields_of_a_document_share_a_path(value: Any):
    paths = [change.path for change in differences(None, document({"a": value}))]
    assert len(set(paths)) == len(paths)


@fast
@given(pairs())
def test_aligning_changes_no_content_and_makes_the_same_content_look_the_same(
    pair: tuple[Any, Any],
):
    value, like = pair
    assert is_same_json(aligned(value, like), value)
    if is_same_json(value, like):
        assert json.dumps(aligned(value, like)) == json.dumps(like)


def test_a_change_has_the_path_and_the_old_and_new_value():
    old = document({"threshold": 1, "region": "eu"}, labels={"team": "a"})
    new = document({"threshold": 2, "region": "eu"}, labels={"team": "a"})
    assert differences(old, new) == (FieldChange("spec.params.threshold", 1, 2),)


def test_list_items_are_identified_by_their_name():
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
def test_an_empty_value_is_not_an_absent_one(empty: Any):
    (removed,) = differences(document({"a": 1, "b": empty}), document({"a": 1}))
    assert removed == FieldChange("spec.params.b", empty, ABSENT)
    (added,) = differences(document({"a": 1}), document({"a": 1, "b": empty}))
    assert added == FieldChange("spec.params.b", ABSENT, empty)
    assert field_view(added) == {"path": "spec.params.b", "new": empty}
    assert field_view(removed) == {"path": "spec.params.b", "old": empty}


@pytest.mark.parametrize(
    "path", ["tasks[a].http.headers.Authorization", 'a.headers["X.Api-Key"]', "c.env.DB_PASSWORD"]
)
def test_the_view_of_a_change_masks_literal_credentials(path: str):
    shown = field_view(FieldChange(path, "Bearer a", "Bearer ${ params.b }"))
    assert shown == {"path": path, "old": "***", "new": "Bearer ${ params.b }"}


def test_the_view_of_a_change_shows_other_headers():
    change = FieldChange("tasks[a].http.headers.Accept", "a", "b")
    assert field_view(change) == {"path": change.path, "old": "a", "new": "b"}


def test_no_two_empty_values_are_the_same():
    empties = [None, "", [], {}, 0, False]
    for old, new in itertools.combinations(empties, 2):
        assert differences(document({"a": old}), document({"a": new}))


def test_a_new_or_removed_document_differs_in_all_its_fields():
    whole = document({"a": 1}, labels={"team": "a"})
    paths = {"metadata.labels.team", "spec.activity", "spec.params.a"}
    assert {change.path for change in differences(None, whole)} == paths
    assert {change.path for change in differences(whole, None)} == paths
    assert all(change.old is ABSENT for change in differences(None, whole))
    assert all(change.new is ABSENT for change in differences(whole, None))
    assert differences(None, None) == ()


@pytest.mark.parametrize("number", [1e22, 1e300, -1e19])
def test_a_large_float_equals_the_integer_that_postgres_returns_for_it(number: float):
    assert differences(document({"n": number}), document({"n": int(number)})) == ()
    assert differences(document({"n": number}), document({"n": number * 2}))


def test_integers_are_compared_to_the_last_digit():
    assert differences(document({"n": 2**53}), document({"n": 2**53 + 1}))


def test_documents_leave_out_defaults_and_keep_explicit_values():
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
