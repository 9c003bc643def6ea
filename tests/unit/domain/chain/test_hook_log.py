"""The log entry of a trigger, as a person reads it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from activityctl.domain.chain.hook_log import hook_entry, told_message
from activityctl.domain.chain.hook_outcome import SKIPPED, HookError, HookOutcome, OutcomeKind
from activityctl.domain.chain.hook_outcome import failed as failed_by

HASH = "0x" + "ab" * 32
REVERTED = HookOutcome(OutcomeKind.FAILED, "reverted", "execution reverted", transaction_hash=HASH)


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (SKIPPED, "trigger skipped"),
        (HookOutcome(OutcomeKind.EXECUTED, transaction_hash=HASH), f"executed: transaction {HASH}"),
        (failed_by(HookError.EXPIRED, "too old"), "trigger failed: [expired] too old"),
        (REVERTED, f"[reverted] execution reverted: transaction {HASH}"),
    ],
)
def test_a_line_of_the_log_says_what_became_of_a_trigger(outcome: HookOutcome, text: str):
    entry = hook_entry(
        subscription_id="s",
        run_id="r",
        task="ask",
        request={"requestID": "q", "params": {"subAccountAddress": "0x1", "chainID": 1}},
        response=None,
        executed_response=None,
        outcome=outcome,
        at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert entry.message == "trigger"
    assert told_message(entry.message, entry.metadata).endswith(text)


@pytest.mark.parametrize("metadata", [{}, {"requestID": "q"}])
def test_other_messages_stay_as_they_are(metadata: dict[str, Any]):
    assert told_message("trigger", metadata) == "trigger"
    assert told_message("run failed", {"outcome": "failed"}) == "run failed"
