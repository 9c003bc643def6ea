"""Triggers of executors, in memory."""

from dataclasses import replace
from datetime import datetime

from activityctl.adapters.memory.state import MemoryState
from activityctl.domain.chain.hook_log import MESSAGE
from activityctl.domain.chain.hook_outcome import HookOutcome
from activityctl.domain.chain.hook_payloads import HookContext
from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.domain.values.log import LogEntry
from activityctl.ports import HookEnd, HookOwner, HookRow


class MemoryHookLedger:
    """Implements the HookLedger port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state
        self._rows = state.hooks
        self._counts: dict[str, HookContext] = {}

    async def owner(self, subscription_id: str) -> HookOwner | None:
        """Return the subscription; None if there is none."""
        found = {str(key): each for key, each in self._state.catalog.subscriptions.items()}
        subscription = found.get(subscription_id)
        if subscription is None:
            return None
        return HookOwner(
            subscription.account,
            subscription.params,
            subscription.created_at,
            subscription.status is SubscriptionStatus.DELETED,
            self._counts.get(subscription_id, HookContext()),
        )

    async def begin(self, row: HookRow) -> HookRow:
        """Keep a new trigger; return the one that was kept under its key before, if any."""
        return self._rows.setdefault(row.key, row)

    async def sending(self, key: str, request: str) -> None:
        """Keep what is about to be sent."""
        if self._rows[key].response is None:
            self._rows[key] = replace(self._rows[key], request=request)

    async def answered(
        self, key: str, response: str, outcome: HookOutcome | None, at: datetime
    ) -> HookRow:
        """Keep the answer, and count the trigger of its subscription; a second one is ignored."""
        row = self._rows[key]
        if row.response is None:
            row = self._rows[key] = replace(row, response=response, outcome=outcome, answered_at=at)
            before = self._counts.get(row.subscription_id, HookContext())
            after = HookContext(before.count + 1, at, row.request_id)
            self._counts[row.subscription_id] = after
        return row

    async def decided(self, key: str, outcome: HookOutcome) -> HookRow:
        """Keep what became of it, before the executor is told; a second outcome is ignored."""
        if self._rows[key].outcome is None:
            self._rows[key] = replace(self._rows[key], outcome=outcome)
        return self._rows[key]

    async def close(self, key: str, end: HookEnd) -> None:
        """Keep the end, and write its log entry, once."""
        if self._rows[key].closed_at is None:
            self._rows[key] = replace(
                self._rows[key],
                executed_request=end.executed_request,
                executed_response=end.executed_response,
                closed_at=end.at,
            )
            self._state.write_log_entries([end.entry])

    async def entries(self, subscription_id: str, *, offset: int, limit: int) -> list[LogEntry]:
        """Return the log entries of ended triggers, newest first."""
        found = [
            entry
            for _, entry in reversed(self._state.log)
            if entry.subscription_id == subscription_id
            and entry.message == MESSAGE
            and "requestID" in entry.metadata
        ]
        return found[offset : offset + limit]
