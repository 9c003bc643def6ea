"""Policies of retention: how they are written."""

from datetime import timedelta

import pytest

from activityctl.domain.values.retention import Keep, parse_policy
from activityctl.errors import UsageError


def test_a_policy_has_an_age_a_number_or_both():
    found = parse_policy(
        "runs=90d, logs=30d/10000 attempts=1d12h,deadletters=5,audit=30d,spends=400d"
    )
    assert found == {
        "runs": Keep(timedelta(days=90)),
        "logs": Keep(timedelta(days=30), 10_000),
        "attempts": Keep(timedelta(hours=36)),
        "deadletters": Keep(count=5),
        "audit": Keep(timedelta(days=30)),
        "spends": Keep(timedelta(days=400)),
    }
    assert parse_policy(",".join(f"{kind}={keep}" for kind, keep in found.items())) == found


@pytest.mark.parametrize("text", ["", " ", "0"])
def test_without_a_policy_all_is_kept(text: str):
    assert parse_policy(text) == {}


@pytest.mark.parametrize(
    "text",
    [
        *("runs", "runs=", "runs=0", "runs=30m", "runs=d", "runs=90d/", "runs=/5"),
        *("runs=1d,runs=2d", "events=30d", "run=3d", "runs=1y", "runs=99999999d", "runs=-1d"),
        *("runs=1d/0", "runs==1d", "runs=1d;logs=1d"),
        *("audit=29d", "audit=5", "audit=40d/5", "spends=399d", "spends=1000"),
    ],
)
def test_other_texts_are_mistakes(text: str):
    with pytest.raises(UsageError, match=r"^here: "):
        parse_policy(text, "here")
