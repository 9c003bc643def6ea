"""The lines of `top`: the figures, what needs attention, and a table of runs."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from activityctl.cli.render.output import age, cell_text
from activityctl.cli.render.story.page import Line, Part, line
from activityctl.cli.render.story.timeline import seconds_text
from activityctl.domain.runs.at_work import MOST
from activityctl.domain.values.json_form import View
from activityctl.domain.values.plurals import count_noun

_LABEL: Final = 10
_SHORT: Final = 8
_TROUBLES: Final = 6
_WIDE: Final = 120
_LONG_LAG: Final = 10.0
_GAP: Final = 2
HELP: Final = (
    ("up, down, j, k", "choose a run; page up, page down, home, end too"),
    ("enter", "open the run; escape or q goes back"),
    ("/", "show only runs with a text in their id or names"),
    ("f", "show only running, queued, stuck or failed runs"),
    ("s", "sort by age, subscription or status"),
    ("p", "pause: keep what is shown; p again goes on"),
    ("r", "read again now"),
    ("?", "this help"),
    ("q, Ctrl-C", "end"),
)


def summary_lines(view: View) -> Iterator[Line]:
    """Yield the figures, then what needs attention."""
    runs, firings, events = view["openRuns"], view["firings"], view["events"]
    failures: Any = view["failures"]
    hour, stuck = failures["lastHour"], runs["stuck"]
    yield _labelled(
        "runs",
        (f"{_count(runs['running'])} running, {_count(runs['queued'])} queued", ""),
        (f", {_count(runs['cancelling'])} cancelling" if runs["cancelling"] else "", ""),
        (f", {_count(stuck)} stuck" if stuck else "", "failed"),
    )
    late = view["lateLastHour"]
    yield _labelled(
        "failures",
        (f"{_count(hour)} in the last hour", "failed" if hour else ""),
        (f", {_count(failures['lastDay'])} in the last day", ""),
        (f", {_count(late)} late in the last hour" if late else "", "warning"),
    )
    lag = firings["lagSeconds"]
    yield _labelled(
        "queues",
        (f"firings: {_count(firings['due'])} due, {_count(firings['later'])} later", ""),
        (f", {_count(firings['held'])} held" if firings["held"] else "", ""),
        (f", lag {_lag(lag)}", "failed" if lag > _LONG_LAG else ""),
        (f"; events: {_count(events['unrouted'])}", ""),
        (f", lag {_lag(events['lagSeconds'])}" if events["unrouted"] else "", ""),
        (f"; {_count(view['heldTasks'])} tasks held up" if view["heldTasks"] else "", "waiting"),
    )
    yield _workers(view["workers"])
    troubles = list(_troubles(view))
    yield from troubles[:_TROUBLES]
    if (rest := len(troubles) - _TROUBLES) > 0:
        yield _labelled("", (f"… and {rest} more; activityctl status", "dim"))


def _workers(workers: Any) -> Line:
    if not workers:
        return _labelled("workers", ("none is alive, so nothing runs; activityctl up", "failed"))
    names = ", ".join(f"{worker['host']} pid {worker['pid']}" for worker in workers)
    return _labelled("workers", (f"{len(workers)} ", ""), (f"({names})", "dim"))


def _troubles(view: View) -> Iterator[Line]:
    for worker in view["workers"]:
        for trouble in worker["troubles"]:
            told = f"loop {trouble['loop']} fails: {trouble['error']}"
            yield _labelled("worker", (f"{worker['host']} pid {worker['pid']}: {told}", "failed"))
    if failing := view["firings"]["failing"]:
        firings = count_noun(failing, "firing", "firings")
        yield _labelled("firings", (f"{firings} could not be started; see status", "failed"))
    for breaker in view["breakers"]:
        status = str(breaker["status"])
        until = f" until {_clock(breaker['openUntil'])}" if breaker["openUntil"] else ""
        told = f"{breaker['name']} {status.replace('_', ' ')}{until}: {breaker['reason']}"
        yield _labelled("breaker", (told, status))
    for schedule in view["schedulesBehind"]:
        name = f"{schedule['subscription']}/{schedule['trigger']}"
        behind = f" was due {age(schedule['dueAt'])} ago and is not decided"
        yield _labelled("behind", (name + behind, "failed"))


def run_lines(
    runs: Sequence[Any], width: int, *, chosen: int | None = None, first: int = 0, most: int = 1000
) -> Iterator[Line]:
    """Yield the head of the table and the rows from the first one on."""
    columns = _columns(runs, width)
    gap = " " * _GAP
    titles = gap.join(f"{title:<{size}}" for title, size, _ in columns)
    yield line(titles.rstrip(), "bold", 0)
    for number, run in enumerate(runs[first : first + most], first):
        status = "failed" if run["isStuck"] else str(run["status"])
        parts: list[Part] = []
        for title, size, read in columns:
            text = (gap if parts else "") + _fitted(cell_text(read(run)), size)
            parts.append((text, status if title == "STATUS" else ""))
        if number == chosen:
            parts = [("".join(text for text, _ in parts), "chosen")]
        yield Line(tuple(parts), 0)


def _columns(runs: Sequence[Any], width: int) -> list[tuple[str, int, Any]]:
    """Return the title, the width and the text of each column."""
    is_wide = width >= _WIDE
    names = max((len(run["subscription"]) for run in runs), default=0)
    owner = min(max(names, 12), 40 if is_wide else 24)
    found: list[tuple[str, int, Any]] = [
        ("RUN", _SHORT, lambda run: run["id"][:_SHORT]),
        ("SUBSCRIPTION", owner, lambda run: run["subscription"]),
        ("STATUS", 10, lambda run: "stuck" if run["isStuck"] else run["status"]),
        ("AGE", 5, _age),
    ]
    if is_wide:
        found.insert(2, ("DEFINITION", 20, lambda run: run["definition"]))
        found.insert(3, ("TRIGGER", 14, lambda run: run["trigger"]))
    used = sum(size + _GAP for _, size, _ in found)
    return [*found, ("DOES", max(width - used, 8), _does)]


def _age(run: Mapping[str, Any]) -> str:
    return age(run["endedAt"] or run["startedAt"] or run["createdAt"])


def _does(run: Mapping[str, Any]) -> str:
    if run["task"]:
        return f"{run['task']} {run['taskStatus']}"
    reason = str(run["reason"] or "-")
    return reason.partition("Z: ")[2] if reason.startswith("queued at ") else reason


def _labelled(label: str, *parts: Part) -> Line:
    return Line(((f"{label:<{_LABEL}}", "dim"), *(part for part in parts if part[0])), _LABEL)


def _count(number: int) -> str:
    return f"{number:,}" if number < MOST else f"{MOST:,} or more"


def _clock(text: str) -> str:
    return datetime.fromisoformat(text).astimezone().strftime("%H:%M:%S")


def _fitted(text: str, width: int) -> str:
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, width - 1) + "…"


def help_lines() -> Iterator[Line]:
    """Yield what each key does."""
    yield line("keys", "bold", 0)
    for key, what in HELP:
        yield Line(((f"  {key:<16}", ""), (what, "dim")), 18)


def _lag(seconds: float) -> str:
    return seconds_text(seconds) if seconds else "0s"
