"""Apply sets: the live objects of each set, and who changed it last."""

from datetime import UTC, datetime

from activityctl.domain.gitops.apply_set import apply_set_view, apply_sets
from activityctl.domain.gitops.history import Origin, PastApply
from activityctl.domain.gitops.plan import Present, PresentDefinition
from activityctl.domain.manifests.definition import DefinitionSpec

SPEC = DefinitionSpec.model_validate_json('{"tasks": [{"name": "a", "say": {}}]}')
AT = datetime(2026, 5, 1, tzinfo=UTC)


def definition(name: str, owner: str | None) -> PresentDefinition:
    return PresentDefinition(name, "r", SPEC, {}, {}, owner)


def test_each_set_has_its_live_objects_and_its_last_apply():
    present = Present(
        {name: definition(name, owner) for name, owner in (("b", "x"), ("a", "x"), ("c", None))}
    )
    last = {"x": PastApply(AT, Origin("apply", "ci", "abc")), "gone": PastApply(AT, Origin())}
    (found,) = apply_sets(present, last)
    view = apply_set_view(found)
    assert [each["name"] for each in view["objects"]] == ["a", "b"]
    assert (view["name"], view["definitions"], view["subscriptions"]) == ("x", 2, 0)
    assert (view["actor"], view["commit"], view["command"]) == ("ci", "abc", "apply")


def test_a_set_whose_last_apply_is_not_known_is_listed():
    (found,) = apply_sets(Present({"a": definition("a", "x")}), {})
    assert apply_set_view(found)["changedAt"] is None
