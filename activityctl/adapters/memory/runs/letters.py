"""Dead letters in memory: the list of them, and what people do with them."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from activityctl.adapters.memory.runs.replays import add_firing
from activityctl.adapters.memory.state import MemoryState
from activityctl.domain.manifests.subscription import SubscriptionStatus
from activityctl.domain.runs.dead_letter import (
    CLOSED_BY_REPLAY,
    PROGRAM,
    DeadLetter,
    LetterAction,
    LetterActionName,
    LetterFilter,
    LetterOutcome,
    LetterRequest,
    LetterStatus,
    options_of_retry,
    repeated_runs,
)
from activityctl.domain.runs.letter_log import action_entry, closed_entry
from activityctl.domain.runs.run import Run, TaskInstance, TaskStatus, address_of
from activityctl.domain.values import ids
from activityctl.domain.values.selection import Selection
from activityctl.ports import Work


def list_letters(
    state: MemoryState, selection: Selection, letters: LetterFilter
) -> list[DeadLetter]:
    """Return dead letters, newest first, each with the last action."""
    found = [
        letter
        for letter in (_whole(state, each) for each in state.dead_letters.values())
        if selection.subscription_id in (None, letter.subscription_id)
        and selection.run_id in (None, letter.run_id)
        and (selection.since is None or letter.created_at >= selection.since)
        and (selection.until is None or letter.created_at < selection.until)
        and letter.id.startswith(selection.name or "")
        and (not selection.statuses or letter.status in selection.statuses)
        and letters.definition in (None, letter.definition)
        and letters.task in (None, letter.task, (letter.task or "").partition("[")[0])
        and (letters.error or "").lower() in letter.reason.lower()
        and state.has_labels(letter.subscription_id, selection)
    ]
    found.sort(key=lambda letter: letter.id)
    found.sort(key=lambda letter: letter.created_at, reverse=True)
    if selection.after:
        keys: list[tuple[object, ...]] = [(letter.created_at, letter.id) for letter in found]
        found = found[keys.index(selection.after) + 1 :]
    return [replace(letter, actions=letter.actions[-1:]) for letter in found[: selection.limit]]


def _whole(state: MemoryState, letter: DeadLetter) -> DeadLetter:
    run = state.runs[letter.run_id].run
    failed = [
        row.task
        for row in state.tasks.values()
        if row.task.run_id == run.id
        and row.task.status is TaskStatus.FAILED
        and row.task.phase != "onFailure"
    ]
    failed.sort(key=lambda task: (task.created_at, task.name, task.index))
    failed.sort(key=lambda task: _place_in(letter.reason, task))
    return replace(
        letter,
        subscription=state.catalog.subscriptions[letter.subscription_id].name,
        definition=run.definition,
        trigger=run.trigger,
        replay_of=run.replay_of,
        task=address_of(failed[0]) if failed else None,
        actions=tuple(_with_result(state, each) for each in state.letter_actions[letter.id]),
    )


def _place_in(reason: str, task: TaskInstance) -> float:
    """Return where the reason names the task; infinity if it does not."""
    place = reason.find(f"task {address_of(task)} failed: ")
    return place if place >= 0 else float("inf")


def _with_result(state: MemoryState, action: LetterAction) -> LetterAction:
    row = state.runs.get(action.run_id or "")
    if row is None:
        return action
    return replace(action, run_status=row.run.status, run_reason=row.run.reason)


class MemoryDeadLetters:
    """Implements the DeadLetters port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def actions(self, letter_id: str) -> list[LetterAction]:
        """Return what was done with the letter, oldest first."""
        return [_with_result(self._state, each) for each in self._state.letter_actions[letter_id]]

    async def discard(
        self, letter_ids: Sequence[str], request: LetterRequest, now: datetime
    ) -> list[LetterOutcome]:
        """Close each open letter; return one outcome for each."""
        return [self._discard(letter, request, now) for letter in self._letters(letter_ids)]

    async def retry(
        self, letter_ids: Sequence[str], request: LetterRequest, now: datetime
    ) -> list[LetterOutcome]:
        """Store the firing of a new run for each open letter; return one outcome for each."""
        outcomes = [self._retry(letter, request, now) for letter in self._letters(letter_ids)]
        self._state.wake_workers(Work.FIRING)
        return outcomes

    def _letters(self, letter_ids: Sequence[str]) -> list[DeadLetter]:
        stored = self._state.dead_letters
        return [_whole(self._state, stored[key]) for key in sorted(letter_ids) if key in stored]

    def _discard(self, letter: DeadLetter, request: LetterRequest, now: datetime) -> LetterOutcome:
        if letter.status is not LetterStatus.OPEN:
            return LetterOutcome(letter.id, "not_open")
        self._act(letter, "discarded", request, now, None)
        return LetterOutcome(letter.id, "discarded")

    def _retry(self, letter: DeadLetter, request: LetterRequest, now: datetime) -> LetterOutcome:
        owner = self._state.catalog.subscriptions[letter.subscription_id]
        if letter.status is not LetterStatus.OPEN:
            return LetterOutcome(letter.id, "not_open")
        if owner.status is SubscriptionStatus.DELETED:
            return LetterOutcome(letter.id, "deleted")
        run = self._state.runs[letter.run_id].run
        key = ids.retry_key(run.id, len(letter.actions) + 1)
        options = options_of_retry(request)
        run_id, _ = add_firing(self._state, run, key, options, now, latest=request.new_revision)
        self._act(letter, "retried", request, now, run_id)
        return LetterOutcome(letter.id, "retried", run_id)

    def _act(
        self,
        letter: DeadLetter,
        action: LetterActionName,
        request: LetterRequest,
        now: datetime,
        run_id: ids.RunId | None,
    ) -> None:
        number = len(letter.actions) + 1
        done = LetterAction(
            number,
            action,
            request.actor,
            now,
            request.reason,
            run_id,
            new_revision=request.new_revision,
            new_keys=request.new_keys,
        )
        self._state.letter_actions[letter.id].append(done)
        entry = action_entry(letter.subscription_id, letter.run_id, request, now, retried_by=run_id)
        self._state.write_log_entries([entry])


def close_letters(state: MemoryState, run: Run) -> None:
    """Close the open letters of the runs that this replay repeats."""
    assert run.ended_at is not None  # noqa: S101  # it has succeeded
    repeated = repeated_runs(run, [row.run for row in state.runs.values()])
    for stored in [each for each in state.dead_letters.values() if each.run_id in repeated]:
        letter = _whole(state, stored)
        if letter.status is LetterStatus.OPEN:
            number, reason = len(letter.actions) + 1, CLOSED_BY_REPLAY
            done = LetterAction(number, "replayed", PROGRAM, run.ended_at, reason, run.id)
            state.letter_actions[letter.id].append(done)
            at = run.ended_at
            entry = closed_entry(letter.subscription_id, letter.run_id, run.id, at)
            state.write_log_entries([entry])


def keeps_state(state: MemoryState, run: Run) -> bool:
    """Return whether the run may store its state; see `write_end` of Postgres."""
    if run.replay_of is None or run.key_run is None:
        return True
    failed = state.runs[run.replay_of].run
    return not any(
        row.run.subscription_id == run.subscription_id
        and row.run.status.value == "succeeded"
        and row.run.created_at > failed.created_at
        and row.run.id != run.id
        for row in state.runs.values()
    )
