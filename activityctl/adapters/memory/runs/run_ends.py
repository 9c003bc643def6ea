"""What the end of a run writes in memory: the state for the next run, and dead letters."""

from dataclasses import replace

from activityctl.adapters.memory.runs.letters import close_letters, keeps_state
from activityctl.adapters.memory.state import MemoryState, stored_json, stored_text
from activityctl.domain.runs.run_change import RunChange


def write_end(state: MemoryState, change: RunChange) -> None:
    """Write the state to keep and the dead letter of the change, if it has them."""
    if change.keep_state is not None and keeps_state(state, change.run):
        subscriptions, key = state.catalog.subscriptions, change.run.subscription_id
        stored = stored_json(dict(change.keep_state))
        subscriptions[key] = replace(subscriptions[key], state=stored)
    if (letter := change.dead_letter) is not None:
        stored_letter = replace(letter, reason=stored_text(letter.reason) or "")
        state.dead_letters.setdefault(letter.id, stored_letter)
    if change.closes_letters:
        close_letters(state, change.run)
