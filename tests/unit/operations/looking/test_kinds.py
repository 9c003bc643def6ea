"""Names as they are typed: `run 3f2a`, `run/3f2a` and `run run/3f2a` are the same."""

from datetime import UTC, datetime

import pytest

from activityctl.domain.values.selection import Selection
from activityctl.errors import UsageError
from activityctl.operations.looking.filters import check_filters
from activityctl.operations.looking.kinds import KINDS, kind_and_name, kind_of, name_of, singular


@pytest.mark.parametrize("kind", KINDS)
def test_each_word_of_a_kind_stands_before_a_name(kind):
    for word in (kind, singular(kind), kind.upper()):
        assert kind_of(word) == kind
        assert name_of(f"{word}/a", kind) == "a"
        assert kind_and_name(f"{word}/a", None) == (kind, "a")
        assert kind_and_name(word, f"{word}/a") == (kind, "a")
        assert kind_and_name(word, "a") == (kind, "a")
    assert kind_and_name(kind, None) == (kind, None)


def test_only_the_first_slash_divides():
    assert name_of("schedule/disk-report/often", "schedules") == "disk-report/often"
    assert name_of("disk-report/often", "schedules") == "disk-report/often"
    assert name_of("order/17", "events") == "order/17"
    assert name_of("run/17", "events") == "run/17"  # the id of an event may look like this


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (lambda: name_of("run/3f", "subscriptions"), "run/3f is not a subscription"),
        (lambda: kind_and_name("sub", "event/3f"), "event/3f is not a subscription"),
        (lambda: name_of("sub/3f", "events"), None),
        (lambda: name_of("run/", "runs"), "no name after run/"),
        (lambda: kind_and_name("run/a", "b"), "run/a and b are two names"),
        (lambda: kind_and_name("rum/a", None), "unknown kind 'rum'"),
    ],
)
def test_a_name_of_another_kind_is_refused(refused, reason):
    if reason is None:
        assert refused() == "sub/3f"
        return
    with pytest.raises(UsageError) as caught:
        refused()
    assert caught.value.message == reason


def test_schedules_and_dead_letters_are_also_named_by_their_owners():
    assert kind_and_name("sched", "sub/disk-report") == ("schedules", "disk-report")
    assert kind_and_name("dl", "run/3f2a") == ("deadletters", "3f2a")
    assert kind_and_name("rev", "def/host-report") == ("revisions", "host-report")


@pytest.mark.parametrize("kind", KINDS)
def test_a_filter_is_used_or_refused_but_never_ignored(kind):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    timed = {"runs", "tasks", "deadletters", "events"}
    selections = (
        (Selection(since=now), timed | {"audit"}),
        (Selection(run_id="r"), timed),
        (Selection(subscription_id="s"), timed | {"subscriptions", "schedules"}),
        (Selection(until=now), {"events"}),
        (Selection(types=("t",)), {"events"}),
    )
    for selection, kinds in selections:
        if kind in kinds:
            check_filters(kind, selection)
        else:
            with pytest.raises(UsageError, match=f"cannot be used with {kind}"):
                check_filters(kind, selection)
