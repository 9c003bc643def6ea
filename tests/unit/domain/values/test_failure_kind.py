"""One table says which errors another try can help with."""

import errno

import pytest

from activityctl.domain.values.failure_kind import (
    OTHER_PAUSES,
    OUTAGE_PAUSES,
    FailureKind,
    Tries,
    failure_kind,
    failure_text,
    pauses_after,
)
from activityctl.errors import (
    ConflictError,
    DatabaseDeniedError,
    DatabaseNotFoundError,
    ExpressionError,
    NotFoundError,
    RefusedError,
    SchemaMismatchError,
    UnreachableError,
    UnstorableError,
)

OUTAGES = [
    UnreachableError("away"),
    ConflictError("locked"),
    SchemaMismatchError("migrated"),
    DatabaseDeniedError("a right was revoked"),
    DatabaseNotFoundError("database", "x"),
    OSError(errno.EMFILE, "too many open files"),
]
PERMANENT = [UnstorableError("too large"), ExpressionError("no such key"), RefusedError("no")]
UNKNOWN = [KeyError("x"), MemoryError(), OSError(errno.ENOENT, "x"), NotFoundError("run", "x")]


@pytest.mark.parametrize("error", OUTAGES, ids=repr)
def test_an_outage_is_tried_without_limit_and_often(error: Exception):
    tries = Tries()
    assert failure_kind(error) is FailureKind.OUTAGE
    assert not any(tries.is_last("work", error) for _ in range(1_000))
    assert pauses_after(error) is OUTAGE_PAUSES


@pytest.mark.parametrize(
    ("errors", "most"), [(PERMANENT, 2), (UNKNOWN, 8)], ids=["permanent", "unknown"]
)
def test_everything_else_is_given_up_after_some_tries(errors: list[Exception], most: int):
    for error in errors:
        tries = Tries()
        for _ in range(3):
            assert not tries.is_last("work", UnreachableError("away"))
        assert [tries.is_last("work", error) for _ in range(most)] == [False] * (most - 1) + [True]
        assert tries.is_last("work", error)
        tries.forget("work")
        assert not tries.is_last("work", error)
        assert pauses_after(error) is OTHER_PAUSES


def test_work_does_not_count_for_other_work():
    tries = Tries()
    assert not tries.is_last("a", RefusedError("no"))
    assert not tries.is_last("b", RefusedError("no"))


def test_only_texts_of_ours_are_shown():
    assert failure_text(UnstorableError("too large")) == "too large"
    assert failure_text(KeyError("secret")) == "KeyError, see the worker's log"
