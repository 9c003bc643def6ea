import random

import pytest

from activityctl.domain.gitops.applyset import require_same_applyset, shorten_list
from activityctl.errors import ConflictError


def conflict_message(applyset: str, owners: dict[str, str | None]) -> str:
    with pytest.raises(ConflictError) as caught:
        require_same_applyset(applyset, owners)
    return caught.value.message


def test_objects_of_the_same_set_or_of_none_are_no_conflict():
    require_same_applyset("shop", {"subscription/a": "shop", "subscription/b": None})
    require_same_applyset(None, {"subscription/a": None})


def test_the_message_names_every_object_of_another_set_in_order():
    owners: dict[str, str | None] = {"subscription/b": "shop", "subscription/a": "shop"}
    assert conflict_message("ops", {**owners, "subscription/c": "ops"}) == (
        'subscription/a, subscription/b belong to the apply set "shop", not to "ops"'
    )
    assert conflict_message("ops", {**owners, "activitydefinition/d": "web"}) == (
        'activitydefinition/d ("web"), subscription/a ("shop"), subscription/b ("shop") '
        'belong to other apply sets, not to "ops"'
    )
    assert conflict_message("ops", {"subscription/a": "shop"}) == (
        'subscription/a belongs to the apply set "shop", not to "ops"'
    )


def test_without_a_set_no_member_of_a_set_may_change():
    with pytest.raises(ConflictError) as caught:
        require_same_applyset(None, {"subscription/a": "shop", "subscription/b": None})
    assert caught.value.message == (
        'subscription/a belongs to the apply set "shop" and can only be changed with it; '
        "nothing was changed"
    )
    assert "--applyset shop" in str(caught.value.hint)


def test_the_message_names_ten_objects_and_counts_the_others():
    names = [f"subscription/s{number:02}" for number in range(25)]
    random.Random(1).shuffle(names)
    message = conflict_message("ops", dict.fromkeys(names, "shop"))
    assert message.startswith("subscription/s00, subscription/s01, ")
    assert 'subscription/s09 and 15 more belong to the apply set "shop"' in message
    assert "s10" not in message
    assert shorten_list(names[:10]) == ", ".join(names[:10])
