"""Whose log is wanted: names come before ids, and what means two objects is refused."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.values.selection import Selection
from activityctl.errors import (
    ActivityctlError,
    AmbiguousError,
    ConflictError,
    NotFoundError,
    RefusedError,
    UsageError,
)
from activityctl.operations.runs.log_selection import LogOwners, LogSelection

NOW = datetime(2026, 11, 28, tzinfo=UTC)
RUN: Any = Run(
    id="ab12-run",  # type: ignore[arg-type]
    subscription_id="ab77-sub",  # type: ignore[arg-type]
    subscription="bills",
    definition="d",
    revision_id="r",  # type: ignore[arg-type]
    trigger="t",
    firing_key="k",
    due_at=NOW,
    status=RunStatus.RUNNING,
    created_at=NOW,
)


@dataclass
class Named:
    id: str
    name: str
    labels: dict[str, str] = field(default_factory=dict)


class Store:
    """Subscriptions and runs that are found as Postgres finds them."""

    def __init__(self) -> None:
        self.owners = [
            Named("ab77-sub", "bills", {"team": "db"}),
            Named("cd00-sub", "ab12", {"team": "db"}),
            Named("ef00-sub", "other"),
        ]
        self.runs = [RUN, replace(RUN, id="ef11-run"), replace(RUN, id="ef00-run")]

    async def find_subscription(self, text: str) -> Named:
        named = [owner for owner in self.owners if owner.name == text]
        found = named or [owner for owner in self.owners if owner.id.startswith(text)]
        return self._only(found, "subscription", text)

    async def find_run(self, text: str) -> Any:
        return self._only([run for run in self.runs if run.id.startswith(text)], "run", text)

    async def subscriptions(self, selection: Selection) -> list[Named]:
        return [o for o in self.owners if selection.labels.items() <= o.labels.items()]

    def _only(self, found: list[Any], kind: str, text: str) -> Any:
        if not found:
            raise NotFoundError(kind, text)
        if len(found) > 1:
            raise AmbiguousError(text, f"{kind}s")
        return found[0]


@pytest.fixture
def selection() -> LogSelection:
    store: Any = Store()
    return LogSelection(store, store)


async def test_subscriptions_and_runs_are_found_by_name_and_by_id(selection: LogSelection):
    bills = LogOwners({"ab77-sub": "bills"})
    for text in ("bills", "subscription/bills", "ab77", "sub/ab77-sub"):
        assert await selection.named([text], None) == bills
    of_run = LogOwners({"ab77-sub": "bills"}, "ab12-run")
    for text in ("run/ab12", "ab12-r", "ab12-run"):
        assert await selection.named([text], None) == of_run
    assert await selection.named(["bills"], "ab12") == of_run
    named_like_a_run = await selection.named(["ab12"], None)
    assert named_like_a_run == LogOwners({"cd00-sub": "ab12"})
    both = await selection.named(["bills", "other"], None)
    assert both == LogOwners({"ab77-sub": "bills", "ef00-sub": "other"})
    labelled = await selection.labelled({"team": "db"})
    assert labelled == LogOwners({"ab77-sub": "bills", "cd00-sub": "ab12"})
    assert len((await selection.labelled({})).names) == 3


@pytest.mark.parametrize(
    ("references", "run", "error", "text"),
    [
        (["nobody"], None, NotFoundError, 'subscription or run "nobody"'),
        (["run/nobody"], None, NotFoundError, 'run "nobody"'),
        (["ef1", "bills"], None, UsageError, "run/ef11-run and other names"),
        (["run/ef11"], "ab12", UsageError, "run/ef11-run and --run"),
        (["ef00"], None, ConflictError, "matches a subscription and a run"),
        (["other"], "ab12", NotFoundError, "run of other"),
    ],
)
async def test_what_is_not_one_object_is_refused(
    selection: LogSelection,
    references: list[str],
    run: str | None,
    error: type[ActivityctlError],
    text: str,
):
    with pytest.raises(error) as caught:
        await selection.named(references, run)
    assert text in caught.value.message


async def test_a_label_that_no_subscription_has_is_not_found(selection: LogSelection):
    with pytest.raises(NotFoundError):
        await selection.labelled({"team": "web"})


async def test_all_logs_of_no_subscription_are_refused_in_plain_words():
    store: Any = Store()
    store.owners = []
    selection = LogSelection(store, store)
    with pytest.raises(RefusedError, match="there is no subscription yet"):
        await selection.labelled({})
