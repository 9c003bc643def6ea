"""The verbs that run something again, by the HTTP API."""

from collections.abc import Sequence
from typing import Any, Final

from activityctl.adapters.remote.client import ApiClient, Params
from activityctl.adapters.remote.stores import segment
from activityctl.cli.verbs.redo import OnLeftOut
from activityctl.cli.verbs.verbs import OnProgress
from activityctl.domain.runs.dead_letter import (
    LETTERS_AT_ONCE,
    DeadLetter,
    LetterOutcome,
    LetterRequest,
)
from activityctl.domain.runs.replay_request import (
    REPLAYS_AT_ONCE,
    ContextOf,
    ReplayOutcome,
    ReplayRequest,
)
from activityctl.domain.runs.revision_change import RevisionChange
from activityctl.domain.runs.run import Run
from activityctl.domain.values.ids import RunId
from activityctl.domain.values.json_form import View
from activityctl.frozen_dataclass import frozen_dataclass

_DRY: Final = {"dryRun": "true"}


@frozen_dataclass
class RemoteRedo:
    """Sends each verb to the API, for some objects in each request."""

    api: ApiClient

    async def letter(self, reference: str) -> View:
        """Return a dead letter with everything needed to understand and redo it."""
        view: View = await self.api.get(f"/v1/deadletters/{segment(reference)}/details")
        return view

    async def revision_changes(self, chosen: Sequence[DeadLetter]) -> list[str]:
        """Return in words how the present revisions differ from those that failed."""
        changes: dict[tuple[str, int], RevisionChange] = {}
        for some in _parts([letter.id for letter in chosen], LETTERS_AT_ONCE):
            body = {"ids": some, "newRevision": True}
            answer = await self.api.post("/v1/deadletters/retry", body, params=_DRY)
            for view in answer["revisionChanges"]:
                change = _change_of(view)
                changes[change.definition, change.before] = change
        return [line for change in changes.values() for line in change.lines]

    async def retry(
        self, chosen: Sequence[DeadLetter], request: LetterRequest, on_progress: OnProgress
    ) -> list[LetterOutcome]:
        """Start a new run for each letter; return one outcome for each."""
        body = {
            "reason": request.reason,
            "newRevision": request.new_revision,
            "newKeys": request.new_keys,
        }
        return await self._act("retry", chosen, body, on_progress)

    async def discard(
        self, chosen: Sequence[DeadLetter], request: LetterRequest, on_progress: OnProgress
    ) -> list[LetterOutcome]:
        """Close the letters; return one outcome for each."""
        return await self._act("discard", chosen, {"reason": request.reason}, on_progress)

    async def _act(
        self, verb: str, chosen: Sequence[DeadLetter], body: View, on_progress: OnProgress
    ) -> list[LetterOutcome]:
        outcomes: list[LetterOutcome] = []
        for some in _parts([letter.id for letter in chosen], LETTERS_AT_ONCE):
            answer = await self.api.post(f"/v1/deadletters/{verb}", {**body, "ids": some})
            outcomes += [
                LetterOutcome(each["id"], each["outcome"], each["run"]) for each in answer["items"]
            ]
            on_progress(len(outcomes), len(chosen))
        return outcomes

    async def plan_replays(
        self,
        runs: Sequence[Run],
        request: ReplayRequest,
        on_progress: OnProgress,
        on_left_out: OnLeftOut | None,
    ) -> list[View]:
        """Return what replays would do; without `on_left_out`, each must be possible."""
        body = _body(request)
        planned: list[View] = []
        if on_left_out is None:
            for number, run in enumerate(runs, 1):
                path = f"/v1/runs/{segment(run.id)}/replay"
                planned.append(await self._ask(path, body, _DRY))
                on_progress(number, len(runs))
            return planned
        done = 0
        for some in _parts([run.id for run in runs], REPLAYS_AT_ONCE):
            answer = await self._ask("/v1/runs/replay", {**body, "ids": some}, _DRY)
            planned += answer["items"]
            for each in answer["leftOut"]:
                on_left_out(each["run"], each["reason"])
            done += len(some)
            on_progress(done, len(runs))
        return planned

    async def replay(
        self, run_ids: Sequence[RunId], request: ReplayRequest, on_progress: OnProgress
    ) -> list[ReplayOutcome]:
        """Store the wish to replay the runs; under its name, a repeat of a request adds nothing."""
        outcomes: list[ReplayOutcome] = []
        for some in _parts(run_ids, REPLAYS_AT_ONCE):
            answer = await self._ask("/v1/runs/replay", {**_body(request), "ids": some})
            outcomes += [
                ReplayOutcome(each["replayOf"], each["outcome"], each["id"])
                for each in answer["items"]
            ]
            on_progress(len(outcomes), len(run_ids))
        return outcomes

    async def outcome_diff(self, before: RunId, after: RunId) -> View:
        """Return the outcomes of a run and of its replay side by side."""
        del before
        view: View = await self.api.get(f"/v1/runs/{segment(after)}/diff")
        return view

    async def _ask(self, path: str, body: View, params: Params | None = None) -> Any:
        return await self.api.post(path, body, params=params, is_harmless=True)


def _parts(ids: Sequence[str], size: int) -> list[Sequence[str]]:
    return [ids[start : start + size] for start in range(0, len(ids), size)]


def _body(request: ReplayRequest) -> dict[str, Any]:
    options = request.options
    return {
        "id": request.name,
        "latest": request.latest,
        "fromTasks": list(options.from_tasks),
        "allTasks": options.all_tasks,
        "liveContext": options.context is ContextOf.LIVE,
        "newKeys": options.new_keys,
        "relay": options.relays,
        "reason": request.reason,
    }


def _change_of(view: View) -> RevisionChange:
    names = (tuple(view[key]) for key in ("changed", "added", "removed"))
    return RevisionChange(view["definition"], view["before"], view["after"], *names)
