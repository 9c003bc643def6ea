"""Timeline: when each task of a run was at work, in seconds from the start of the run."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from activityctl.cli.render.story.task_lines import visible_tasks
from activityctl.domain.values.json_form import View
from activityctl.frozen_dataclass import frozen_dataclass

_NICE_STEPS: Final = (1, 2, 5, 10)
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_NEVER: Final = "~"  # after every time stamp
_STEPS_OF_TIME: Final = (
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1_800,
    3_600,
    7_200,
    21_600,
    43_200,
    86_400,
)


@frozen_dataclass
class Bar:
    """A time in which a task was at work or waited."""

    start: float
    end: float
    status: str
    text: str


@frozen_dataclass
class Row:
    """One task with its bars."""

    label: str
    status: str
    bars: tuple[Bar, ...]
    is_kept: bool = False
    """Whether a replay has kept it: it was at work in the run before."""

    @property
    def seconds(self) -> float:
        """The time from the first bar to the end of the last."""
        return self.bars[-1].end - self.bars[0].start if self.bars else 0.0


@frozen_dataclass
class Timeline:
    """The rows of a run, and how long it took in seconds."""

    seconds: float
    rows: tuple[Row, ...]
    left_out: Mapping[str, int]
    """How many items of each large forEach have no row."""

    def ticks(self, most: int) -> list[float]:
        """Return at most so many times of round numbers for an axis, the first is 0."""
        step = _step(self.seconds / max(most - 1, 1))
        return [number * step for number in range(int(self.seconds / step) + 1)]


def timeline_of(view: View, now: datetime) -> Timeline:
    """Return the timeline of a run from its JSON view; what is open ends now."""
    start = _moment(view["startedAt"]) or _moment(view["createdAt"]) or now
    end = _moment(view["endedAt"]) or now
    shown, left_out = visible_tasks(view["tasks"])
    shown = list(_by_start(shown))
    rows = tuple(
        Row(
            "  " * task["depth"] + str(task["shown"]),
            str(task["status"]),
            () if _was_before(task, start) else tuple(_bars(task, start, end)),
            _was_before(task, start),
        )
        for task in shown
    )
    last = max((bar.end for row in rows for bar in row.bars), default=0.0)
    return Timeline(max((end - start).total_seconds(), last, 0.001), rows, left_out)


def _by_start(tree: Sequence[View]) -> Iterator[View]:
    """Yield the tasks of a tree, what began first comes first; the others keep their order.

    What is in a task stays below it.
    """
    families: list[list[View]] = []
    for task in tree:
        if not families or task["depth"] <= families[0][0]["depth"]:
            families.append([task])
        else:
            families[-1].append(task)
    families.sort(key=lambda family: family[0]["startedAt"] or _NEVER)
    for head, *rest in families:
        yield head
        yield from _by_start(rest)


def _was_before(task: View, start: datetime) -> bool:
    """Return whether the task had ended before the run began: a replay has kept it."""
    ended = _moment(task["endedAt"])
    return ended is not None and task["startedAt"] is not None and ended < start


def _bars(task: View, start: datetime, end: datetime) -> Iterator[Bar]:
    begun = _moment(task["startedAt"])
    if begun is None:
        return
    ended = _moment(task["endedAt"]) or end
    attempts: list[Mapping[str, Any]] = task.get("history") or []
    if len(attempts) < 2:  # noqa: PLR2004  # a single attempt is the whole task
        yield _bar(begun, ended, start, str(task["status"]), "")
        return
    for attempt in attempts:
        attempt_start = datetime.fromisoformat(attempt["startedAt"])
        took = attempt["durationMs"]
        seconds = (ended - attempt_start).total_seconds() if took is None else took / 1000
        offset = max((attempt_start - start).total_seconds(), 0.0)
        text = f"attempt {attempt['number']}, "
        yield Bar(offset, offset + max(seconds, 0.0), str(attempt["outcome"]), text)


def _bar(begun: datetime, ended: datetime, start: datetime, status: str, text: str) -> Bar:
    offset = max((begun - start).total_seconds(), 0.0)
    return Bar(offset, max((ended - start).total_seconds(), offset), status, text)


def _moment(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def _step(least: float) -> float:
    """Return the smallest round step that is not below `least`."""
    if least > _STEPS_OF_TIME[0]:
        days = -(-least // _DAY) * _DAY
        return next((step for step in _STEPS_OF_TIME if step >= least), days)
    size = 0.001
    while True:
        for nice in _NICE_STEPS:
            if nice * size >= least:
                return nice * size
        size *= 10


def seconds_text(seconds: float) -> str:
    """Return a time of an axis or a bar: 120ms, 1.5s, 2m30s, 3h05m."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms" if seconds else "0"
    if seconds < _MINUTE:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02d}s".removesuffix("00s")
    if whole < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02d}m".removesuffix("00m")
    return f"{whole // _DAY}d{whole % _DAY // _HOUR:02d}h".removesuffix("00h")
