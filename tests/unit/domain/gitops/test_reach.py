"""Which changes of an object a caller sees, whose token is for some apply sets."""

from datetime import UTC, datetime

from activityctl.domain.access.caller import Caller
from activityctl.domain.access.scope import parse_scope
from activityctl.domain.gitops.history import UNKNOWN_ORIGIN, PastChange
from activityctl.domain.gitops.reach import EVERYTHING, Reach

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GONE = "gone"


def shown(scope: str | None, *sets: str | None) -> list[int]:
    """Return the numbers of the changes that are seen, for the sets of the changes in order."""
    changes = [
        PastChange(
            number,
            "Calendar",
            "days",
            "deleted" if of == GONE else "configured",
            NOW,
            UNKNOWN_ORIGIN,
            None if of == GONE else of,
            (),
            None if of == GONE else {"spec": {}},
            None,
        )
        for number, of in enumerate(sets, start=1)
    ]
    reach = EVERYTHING if scope is None else Reach(Caller("token/a", (parse_scope(scope),)))
    return [change.number for change in reach.visible_history(changes[::-1])]


def test_history_is_seen_since_the_object_came_into_a_set_of_the_token():
    mine = "apply:set=pay-*"
    assert shown(mine, "pay-eu", "pay-eu") == [2, 1]
    assert shown(mine, "pay-eu", None) == [2, 1], "without a set, it stays in its set"
    assert shown(mine, "pay-eu", "pay-us", GONE) == [3, 2, 1]
    assert shown(mine, "shop", "pay-eu", "pay-eu") == [3], "the change that moves it is hidden"
    assert shown(mine, None, "pay-eu", "pay-eu") == [3]
    assert shown(mine, "shop", GONE, "pay-eu") == [3]
    assert shown(mine, "pay-eu", "shop") == []
    assert shown(mine, "pay-eu", GONE, "shop", GONE) == []
    assert shown(mine, None, GONE) == []


def test_who_sees_everything_sees_the_whole_history():
    for scope in (None, "read", "admin", "apply"):
        assert shown(scope, "shop", None, GONE, "pay-eu") == [4, 3, 2, 1]
    assert shown("emit", "shop", "pay-eu") == []
