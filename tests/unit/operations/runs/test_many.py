"""Acting on many objects: a refusal is an outcome, and only a lost database ends it."""

import pytest

from activityctl.errors import ConflictError, UnreachableError
from activityctl.operations.runs.many import REFUSED, Outcome, act_on_each, counts_text


def refused(item: str, error: str) -> Outcome:
    return Outcome(item, item, REFUSED, error)


async def test_the_others_go_on_after_a_refusal():
    progress: list[tuple[int, int]] = []

    async def act(item: str) -> Outcome:
        if item == "b":
            raise ConflictError("b was deleted")
        return Outcome(item, item, "paused")

    outcomes = await act_on_each(
        ["a", "b", "c"], act, refused, on_progress=lambda *counts: progress.append(counts)
    )
    assert [each.outcome for each in outcomes] == ["paused", REFUSED, "paused"]
    assert outcomes[1].error == "b was deleted"
    assert progress == [(1, 3), (2, 3), (3, 3)]


async def test_a_database_that_is_gone_ends_it():
    async def act(_: str) -> Outcome:
        raise UnreachableError("Postgres does not answer")

    with pytest.raises(UnreachableError):
        await act_on_each(["a", "b"], act, refused)


def test_outcomes_are_counted_in_the_order_of_their_first():
    assert counts_text(["paused", "refused", "paused"]) == "2 paused, 1 refused"
    assert counts_text([]) == ""
