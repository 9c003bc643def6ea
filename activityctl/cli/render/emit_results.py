"""Show the runs that events started, and why others were not started, for `emit --wait`."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from activityctl.cli.render.output import styled
from activityctl.domain.events.emit_result import Emitted
from activityctl.domain.events.json_form import verdict_view
from activityctl.domain.events.stored_event import Verdict, VerdictOutcome
from activityctl.domain.runs.json_form import run_view
from activityctl.domain.runs.run import Run, RunStatus
from activityctl.domain.values.json_form import View
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.untrusted import escape_line
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.events.await_events import EventResults

if TYPE_CHECKING:
    from rich.text import Text

_GOOD: Final = frozenset({RunStatus.SUCCEEDED, RunStatus.SKIPPED})
_MOST_LISTED: Final = 20


@frozen_dataclass
class EventResultsView:
    """The runs and verdicts of events, with the names of subscriptions by their id."""

    aftermath: EventResults
    names: Mapping[str, str]
    has_worker: bool = True
    """Whether a worker was alive when the wait was over."""

    @property
    def failed(self) -> list[Run]:
        """The runs that have ended and neither succeeded nor were skipped."""
        runs = self.aftermath.runs.values()
        return [run for run in runs if run.has_ended and run.status not in _GOOD]

    def view(self, result: Emitted) -> View:
        """Return the runs of an event, and its verdicts for triggers without a run."""
        runs: list[View] = []
        others: list[View] = []
        for verdict in self.aftermath.verdicts.get(result.uid, ()) if result.uid else ():
            name, run_id = self._name(verdict), verdict.run_id
            if run_id is not None and (run := self.aftermath.runs.get(run_id)):
                runs.append(run_view(run))
            elif verdict.outcome is VerdictOutcome.WOKEN:
                queued = {"subscription": name, "trigger": verdict.trigger, "status": "queued"}
                runs.append({"id": run_id, **queued, "reason": None})
            else:
                others.append(verdict_view(verdict, name, run_id))
        return {"runs": runs, "verdicts": others}

    def lines(self, result: Emitted) -> Iterator["Text"]:
        """Yield a line for each run and verdict of an event."""
        if result.uid is None or result.problem is not None:
            return
        if result.uid in self.aftermath.unrouted:
            yield styled("  not yet routed")
            return
        view = self.view(result)
        if not view["runs"] and not view["verdicts"]:
            yield styled("  no trigger matches")
        for run in view["runs"]:
            yield _line(f"  run/{run['id']} {run['subscription']}/{run['trigger']} ", run, "status")
        for verdict in view["verdicts"]:
            yield _line(f"  {verdict['subscription']}/{verdict['trigger']} ", verdict, "outcome")

    def summary(self) -> Iterator["Text"]:
        """Yield the number of runs by status, and a line for each of the first that failed."""
        runs = self.aftermath.runs.values()
        counts = Counter(run.status.value.replace("_", " ") for run in runs)
        listed = ", ".join(f"{count:,} {status}" for status, count in counts.most_common())
        yield styled(count_noun(len(runs), "run") + (f": {listed}" if listed else ""))
        failed = self.failed
        for run in failed[:_MOST_LISTED]:
            view = run_view(run)
            yield _line(f"  run/{run.id} {run.subscription}/{run.trigger} ", view, "status")
        if len(failed) > _MOST_LISTED:
            yield styled(f"  and {len(failed) - _MOST_LISTED:,} more: activityctl get runs")

    def _name(self, verdict: Verdict) -> str:
        return self.names.get(verdict.subscription_id, verdict.subscription_id)


def _line(start: str, view: View, status: str) -> "Text":
    line = styled(start).append_text(styled(view[status]))
    return line.append(f" {escape_line(view['reason'])}" if view["reason"] else "")
