"""Lists of runs, task instances and dead letters in memory, as the commands show them."""

from collections import Counter
from collections.abc import Sequence

from activityctl.adapters.memory.runs.accepted import accepted_runs, accepted_with
from activityctl.adapters.memory.runs.letters import list_letters
from activityctl.adapters.memory.state import MemoryState
from activityctl.domain.gitops.waiting import Waiting, WaitingFirings
from activityctl.domain.runs.ambiguous import ambiguous_run
from activityctl.domain.runs.dead_letter import ANY_LETTER, DeadLetter, LetterFilter
from activityctl.domain.runs.latest_run import LatestRun
from activityctl.domain.runs.run import Run, TaskInstance
from activityctl.domain.runs.waiting import assignee_of
from activityctl.domain.tasks.attempt import Attempt
from activityctl.domain.tasks.breaker import Breaker
from activityctl.domain.tasks.held_task import HeldTask, parts_of_lookup
from activityctl.domain.tasks.limit_use import LimitUse
from activityctl.domain.values.selection import Selection
from activityctl.errors import NotFoundError


class MemoryRunLists:
    """Implements the RunLists port."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def runs(self, selection: Selection) -> list[Run]:
        """Return runs, newest first."""
        found = [run for run in self._selected(selection) if _has_status(run, selection)]
        return [run for run in found if _is_after(run, selection)][: selection.limit]

    async def accepted(self, selection: Selection) -> list[Run]:
        """Return firings that have no run yet, as the queued runs that they become."""
        return accepted_runs(self._state, selection)

    async def open_counts(self) -> dict[str, int]:
        """Return how many running and queued runs each subscription has, by its id."""
        rows = self._state.runs.values()
        return dict(Counter(row.run.subscription_id for row in rows if not row.run.has_ended))

    async def waiting(self) -> Waiting:
        """Return what is due or gathered and has no run yet, of all subscriptions."""
        revisions = self._state.catalog.revisions
        firings = Counter(
            (row.firing.subscription_id, revisions[row.revision_id].number)
            for row in self._state.firings.values()
            if row.dispatched_at is None and row.revision_id is not None
        )
        gathered = Counter[str]()
        for key, gathering in self._state.gatherings.items():
            gathered[key.subscription_id] += len(gathering.events)
        return Waiting(
            tuple(WaitingFirings(*group, count) for group, count in firings.items()), gathered
        )

    async def find_run(self, reference: str) -> Run:
        """Return the run or accepted firing with that id, or with that unique prefix of its id.

        Raises NotFoundError when there is none, AmbiguousError when the prefix matches several.
        """
        found = [
            row.run
            for key, row in self._state.runs.items()
            if reference and key.startswith(reference)
        ]
        found += accepted_with(self._state, reference)
        if not found:
            raise NotFoundError("run", reference, hint="activityctl get runs")
        if len(found) > 1:
            raise ambiguous_run(reference, found)
        return found[0]

    async def workflow_of(self, run_id: str) -> str | None:
        """Return the id of the workflow that carries the run; None if it has none."""
        row = self._state.runs.get(run_id)
        return None if row is None else row.workflow_id or None

    async def latest_runs(self, subscription_ids: Sequence[str]) -> dict[str, LatestRun]:
        """Return the newest run of each of these subscriptions that has one, by its id."""
        found: dict[str, LatestRun] = {}
        for run in reversed(self._selected(Selection())):
            if run.subscription_id in subscription_ids:
                found[run.subscription_id] = LatestRun(
                    run.id, run.status, run.trigger, run.created_at, run.started_at, run.ended_at
                )
        return found

    async def runs_of(self, run_ids: Sequence[str]) -> list[Run]:
        """Return those of these runs that exist, in any order."""
        rows = self._state.runs
        return [rows[run_id].run for run_id in run_ids if run_id in rows]

    async def tasks(self, selection: Selection) -> list[TaskInstance]:
        """Return task instances, those of the newest run first."""
        order = {run.id: position for position, run in enumerate(self._selected(selection))}
        found = [
            row.task
            for row in self._state.tasks.values()
            if row.task.run_id in order
            and _has_status(row.task, selection)
            and row.task.id.startswith(selection.name or "")
            and selection.assignee in (None, assignee_of(row.task))
        ]
        found.sort(key=lambda task: (order[task.run_id], task.created_at, task.name, task.index))
        if selection.after:
            place = [
                (self._state.runs[task.run_id].run, task.created_at, task.name, task.index)
                for task in found
            ]
            keys = [(run.created_at, run.id, *rest) for run, *rest in place]
            found = found[keys.index(selection.after) + 1 :]
        return found[: selection.limit]

    async def attempts(self, task_ids: Sequence[str]) -> list[Attempt]:
        """Return the attempts of these tasks, by task and number."""
        return [
            self._state.attempts[key] for key in sorted(self._state.attempts) if key[0] in task_ids
        ]

    async def held(self, task_ids: Sequence[str]) -> list[HeldTask]:
        """Return what holds up those of these tasks that a breaker or a limit holds up."""
        return [
            HeldTask(key, row.breaker, row.limit, row.since, row.look_at)
            for key, row in self._state.holds.items()
            if key in task_ids and not self._state.tasks[key].task.has_ended
        ]

    async def limit_uses(self) -> list[LimitUse]:
        """Return how far each limit is used that a task has ever asked, by name."""
        found = []
        for name in sorted(self._state.limits):
            open_attempts = [
                attempt
                for attempt in self._state.attempts.values()
                if attempt.ended_at is None and self._limit_of(attempt.task_id) == name
            ]
            held = await self.held_by_limit(name, len(self._state.holds))
            next_at = held[0].until if held else None
            found.append(LimitUse(name, len(open_attempts), len(held), next_at))
        return found

    def _limit_of(self, task_id: str) -> str | None:
        task = self._state.tasks.get(task_id)
        guard = self._state.lookups.get(task_id) if task is None else task.task.guard
        return guard.limit.name if guard is not None and guard.limit is not None else None

    async def held_by_limit(self, name: str, most: int) -> list[HeldTask]:
        """Return tasks that wait for the limit; those that ask again first come first."""
        held = []
        for key, row in self._state.holds.items():
            run_id, value = parts_of_lookup(key)
            label, has_ended = f"context.{value}", False
            if key in self._state.tasks:
                task = self._state.tasks[key].task
                label, run_id, has_ended = task.name, task.run_id, task.has_ended
            if row.limit == name and not has_ended:
                held.append(HeldTask(key, None, name, row.since, row.look_at, label, run_id))
        return sorted(held, key=lambda each: each.until)[:most]

    async def breakers(self, selection: Selection) -> list[Breaker]:
        """Return the breakers that have ever opened, by name."""
        found = [
            breaker
            for name, breaker in sorted(self._state.breakers.items())
            if breaker.openings
            and selection.name in {None, name}
            and (not selection.statuses or breaker.status in selection.statuses)
        ]
        return found[: selection.limit]

    async def dead_letters(
        self, selection: Selection, letters: LetterFilter = ANY_LETTER
    ) -> list[DeadLetter]:
        """Return dead letters, newest first."""
        return list_letters(self._state, selection, letters)

    async def open_letters(self, subscription_ids: Sequence[str]) -> dict[str, int]:
        """Return how many open dead letters each of these subscriptions has, if any, by its id."""
        found = list_letters(self._state, Selection(statuses=("open",), limit=None), ANY_LETTER)
        return dict(
            Counter(
                letter.subscription_id
                for letter in found
                if letter.subscription_id in subscription_ids
            )
        )

    def _selected(self, selection: Selection) -> list[Run]:
        replayed = {row.run.replay_of for row in self._state.runs.values() if selection.are_last}
        found = [
            row.run
            for row in self._state.runs.values()
            if selection.subscription_id in (None, row.run.subscription_id)
            and selection.run_id in (None, row.run.id)
            and selection.replay_of in (None, row.run.replay_of)
            and row.run.id not in replayed
            and (selection.since is None or row.run.created_at >= selection.since)
            and self._state.has_labels(row.run.subscription_id, selection)
        ]
        found.sort(key=lambda run: run.id)
        return sorted(found, key=lambda run: run.created_at, reverse=True)


def _has_status(item: Run | TaskInstance, selection: Selection) -> bool:
    return not selection.statuses or item.status.value in selection.statuses


def _is_after(run: Run, selection: Selection) -> bool:
    if not selection.after:
        return True
    at, run_id = selection.after
    # The values are those of the list: a time and an id, while other lists have others.
    return run.created_at < at or (run.created_at == at and run.id > run_id)  # type: ignore[operator]
