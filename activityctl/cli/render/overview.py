"""Print schedules, waiting work and subscriptions that paused themselves, for `status`."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from activityctl.cli.render.chain_text import print_chains
from activityctl.domain.runs.metrics_snapshot import SCHEDULE_STATUSES, WAITS_TOO_LONG
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.runs.stuck import advice_on, cause_of
from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.json_form import View
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.untrusted import escape_controls

if TYPE_CHECKING:
    from rich.console import Console


_SECOND: Final = timedelta(seconds=1)
_MOST_UNREADABLE: Final = 10
_MOST_NAMED: Final = 3


def print_overview(console: "Console", view: View) -> None:
    """Print the schedules by status, the work that waits, triggers that cannot be read, pauses."""
    _print_schedules(console, view["schedules"])
    firings, events = view["firings"], view["events"]
    if (lag := timedelta(seconds=firings["lagSeconds"])) > WAITS_TOO_LONG:
        console.print(
            f"firings due and not started: {firings['due']:,}, the oldest for "
            f"{_whole_seconds(lag)}; run activityctl doctor"
        )
    _print_failures(console, view)
    _print_runs(console, view["runs"])
    _print_letters(console, view["deadLetters"]["bySubscription"])
    if events["unrouted"]:
        lag_text = _whole_seconds(timedelta(seconds=events["lagSeconds"]))
        console.print(f"events not yet routed: {events['unrouted']:,}, the oldest for {lag_text}")
    print_chains(console, view["chains"])
    for low in view.get("lowRelayers") or ():
        console.print(
            f"relayer {low['address']} has {low['balance']} left on chain {low['chainId']}, which "
            "hardly pays for a call; run activityctl get relayers",
            soft_wrap=True,
        )
    unreadable = events["unreadableTriggers"]
    for unread in unreadable[:_MOST_UNREADABLE]:
        label = f"{unread['subscription']}/{unread['trigger']}"
        console.print(
            escape_controls(
                f"trigger {label} cannot be read, so no event starts it: {unread['reason']}"
            ).replace("\n", "\\n")
        )
    if (rest := len(unreadable) - _MOST_UNREADABLE) > 0:
        console.print(f"{rest:,} more triggers cannot be read; run activityctl get subscriptions")
    for paused in view["autoPaused"]:
        reason = escape_controls(paused["pauseReason"] or "").replace("\n", "\\n")
        console.print(
            f"paused after failures: {paused['name']} since {paused['pausedAt']}: {reason}"
        )


def _print_schedules(console: "Console", view: View) -> None:
    counts = {name: view[name] for name in (*SCHEDULE_STATUSES, "overdue") if view[name]}
    if counts:
        listed = ", ".join(f"{count:,} {name}" for name, count in counts.items())
        why = "; activityctl get schedules says why" if counts.get("error") else ""
        alarms = f", on {count_noun(view['alarms'], 'alarm', 'alarms')}" if view["alarms"] else ""
        console.print(f"schedules: {listed}{alarms}{why}")
    if view["restarts"]:
        console.print(
            f"schedules that had stopped and were restarted: {view['restarts']}, "
            f"last at {view['lastRestartAt']}"
        )


def _print_runs(console: "Console", counts: Mapping[str, int]) -> None:
    for status in (RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.MISSED):
        if count := counts.get(status, 0):
            runs, how = count_noun(count, "run", "runs"), status.replace("_", " ")
            command = f"activityctl get runs --status {status} --since 1d"
            console.print(f"{runs} {how} within a day; run {command}", soft_wrap=True)
    if count := counts.get(RunStatus.CANCELLING, 0):
        runs = count_noun(count, "run", "runs")
        console.print(f"{runs} cancelling; run activityctl get runs --status cancelling")


def _print_letters(console: "Console", open_letters: Mapping[str, int]) -> None:
    if not open_letters:
        return
    most = sorted(open_letters.items(), key=lambda item: (-item[1], item[0]))
    names = ", ".join(f"{name} {count:,}" for name, count in most[:_MOST_NAMED])
    more = f" and {len(most) - _MOST_NAMED} more" if len(most) > _MOST_NAMED else ""
    letters = count_noun(sum(open_letters.values()), "open dead letter", "open dead letters")
    console.print(f"{letters}: {names}{more}; run activityctl dlq list")


def _print_failures(console: "Console", view: View) -> None:
    if (failing := view["firings"]["failing"]) is not None:
        error = escape_controls(failing["lastError"]).replace("\n", "\\n")
        firings = count_noun(failing["count"], "firing", "firings")
        console.print(
            f"{firings} could not be started and will be tried again, since {failing['since']}: "
            f"{error}"
        )
    if (stuck := view["stuckRuns"]) is not None:
        reason = escape_controls(stuck["lastReason"]).replace("\n", "\\n")
        verb = "is" if stuck["count"] == 1 else "are"
        console.print(
            f"{count_noun(stuck['count'], 'run', 'runs')} {verb} stuck since "
            f"{stuck['since']}, because {cause_of(reason)}: {reason}; "
            f"{advice_on(reason, stuck['count'])}"
        )
    for loop in view["workerLoops"]:
        error = escape_controls(loop["lastError"]).replace("\n", "\\n")
        console.print(
            f"worker {loop['worker']}: loop {loop['loop']} fails since {loop['since']}, "
            f"{count_noun(loop['failures'], 'time', 'times')}: {error}"
        )


def _whole_seconds(lag: timedelta) -> str:
    return format_duration(lag // _SECOND * _SECOND)
