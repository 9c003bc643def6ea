import random

import pytest

from activityctl.domain.gitops.applyset import require_same_applyset, shorten_list
from activityctl.errors import ConflictError


def said(applyset: str, owners: dict[str, str | None]) -> str:
    with pytest.raises(ConflictError) as caught:
        require_same_applyset(applyset, owners)
    return caught.value.message


def test_what_is_ones_own_or_nobodys_is_no_conflict():
    require_same_applyset("shop", {"subscription/a": "shop", "subscription/b": None})
    require_same_applyset(None, {"subscription/a": "shop"})


def test_every_object_of_another_set_is_named_in_order():
    owners: dict[str, str | None] = {"subscription/b": "shop", "subscription/a": "shop"}
    assert said("ops", {**owners, "subscription/c": "ops"}) == (
        'subscription/a, subscription/b belong to the apply set "shop", not to "ops"'
    )
    assert said("ops", {**owners, "activitydefinition/d": "web"}) == (
        'activitydefinition/d ("web"), subscription/a ("shop"), subscription/b ("shop") '
        'belong to other apply sets, not to "ops"'
    )
    assert said("ops", {"subscription/a": "shop"}) == (
        'subscription/a belongs to the apply set "shop", not to "ops"'
    )


def test_of_many_ten_are_named_and_the_rest_are_counted():
    names = [f"subscription/s{number:02}" for number in range(25)]
    random.Random(1).shuffle(names)
    message = said("ops", dict.fromkeys(names, "shop"))
    assert message.startswith("subscription/s00, subscription/s01, ")
    assert 'subscription/s09 and 15 more belong to the apply set "shop"' in message
    assert "s10" not in message
    assert shorten_list(names[:10]) == ", ".join(names[:10])
