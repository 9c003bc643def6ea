"""`top`: what it shows fits every terminal and is harmless; keys choose; outages are told."""

import asyncio
import io
import os
import sys
import termios
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from activityctl.cli.keyboard import keys_in
from activityctl.cli.live_top import LiveTop
from activityctl.cli.render.story.page import Page, line
from activityctl.cli.render.top.choice import TopChoice
from activityctl.cli.render.top.screen import TopScreen, plain_lines, top_texts
from activityctl.domain.runs.at_work import AtWork, BehindSchedule, ListedRun, at_work_view
from activityctl.domain.runs.run import RunStatus
from activityctl.domain.runs.worker import LoopTrouble, WorkerBeat
from activityctl.domain.tasks.breaker import Breaker, BreakerStatus
from activityctl.errors import UnreachableError

HOSTILE = "x\x1b]0;bad\x07\x1b[2J\u202e\r\n界"
NOW = datetime.now(UTC)


def run(number: int, status: RunStatus = RunStatus.RUNNING, **more: Any) -> ListedRun:
    at = NOW - timedelta(seconds=number)
    found = ListedRun(f"{number:08}-run", f"sub-{number % 7}", "d", "t", status, None, at, at, None)
    return replace(found, **more)


FOUND = AtWork(
    at=NOW,
    workers=(WorkerBeat("w", HOSTILE, 7, "1", NOW, (LoopTrouble("timer", NOW, 3, HOSTILE),)),),
    open_runs={"running": 10_000, "queued": 2},
    stuck_runs=1,
    firings={"due": 3, "later": 4, "held": 5},
    due_since=NOW - timedelta(seconds=90),
    failing_firings=1,
    unrouted_events=9,
    unrouted_since=NOW,
    failed_hour=2,
    failed_day=3,
    late_hour=1,
    breakers=(Breaker(HOSTILE, BreakerStatus.OPEN, NOW, HOSTILE, NOW),),
    behind=(BehindSchedule(HOSTILE, "often", NOW - timedelta(minutes=5)),),
    runs=[
        run(1, subscription=HOSTILE, task=HOSTILE, task_status="waiting"),
        run(2, RunStatus.QUEUED, reason="queued at 2026-01-01T00:00:00Z: waits for 3 runs"),
        run(3, is_stuck=True),
        run(4, RunStatus.FAILED, reason=HOSTILE * 9),
        *(run(number) for number in range(5, 60)),
    ],
)
VIEW = at_work_view(FOUND)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 50), (30, 8), (10, 3)])
def test_the_screen_has_the_size_of_the_terminal_and_is_harmless(width: int, height: int):
    for more in ({}, {"has_help": True}, {"note": HOSTILE}, {"is_typing": True}):
        screen = TopScreen(VIEW, TopChoice(text=HOSTILE), "12:00:00", **more)
        texts = top_texts(screen, width, height)
        assert len(texts) == height
        assert max(text.cell_len for text in texts) <= width
        whole = "".join(text.plain for text in texts)
        assert not {"\x1b", "\x07", "\r", "\n", "\u202e"} & set(whole)


def test_the_screen_tells_figures_troubles_and_runs():
    whole = "\n".join(text.plain for text in top_texts(TopScreen(VIEW, TopChoice(), "12"), 160, 50))
    for part in (
        "10,000 or more running, 2 queued, 1 stuck",
        "2 in the last hour, 3 in the last day, 1 late",
        "firings: 3 due, 4 later, 5 held, lag 1m30s; events: 9",
        "loop timer fails",
        "1 firing could not be started",
        "open until",
        "often was due ",
        "DEFINITION",
        "waits for 3 runs",
        "59 open and recently failed runs, by age",
    ):
        assert part in whole, part
    narrow = "\n".join(text.plain for text in top_texts(TopScreen(VIEW, TopChoice(), ""), 80, 24))
    assert "DEFINITION" not in narrow
    empty = at_work_view(AtWork(NOW))
    assert "none is alive" in plain_lines(empty, "12", 80)[4]


def test_of_very_many_runs_only_the_first_are_told():
    runs: Any = VIEW["runs"]
    view = {**VIEW, "runs": [*runs, *runs, *runs, *runs][:200]}
    screen = TopScreen(view, TopChoice(), "12")
    whole = "\n".join(text.plain for text in top_texts(screen, 160, 50))
    assert "200 open and recently failed runs, of the first 200, by age" in whole
    block = plain_lines(view, "12", 80)
    assert block[-1] == "20 runs shown, and there are more; activityctl get runs lists them"
    assert len([line for line in block if "-run" in line or line.startswith("0")]) == 20


def test_runs_are_filtered_sorted_and_chosen():
    runs: Any = VIEW["runs"]
    choice = TopChoice()
    assert [r["id"] for r in choice.shown(runs)] == [r["id"] for r in runs]
    stuck = replace(choice, status="stuck").shown(runs)
    assert [r["id"] for r in stuck] == ["00000003-run"]
    assert len(replace(choice, status="failed").shown(runs)) == 1
    by_status = replace(choice, sort="status").shown(runs)
    assert [r["status"] for r in by_status[:2]] == ["running", "failed"]
    assert by_status[-1]["status"] == "queued"
    moved = choice.moved(runs, 1_000).moved(runs, -1)
    assert moved.place(runs) == len(runs) - 2
    assert moved.place(runs[:3]) == 0  # it has gone
    assert choice.moved([], 1) == choice
    assert choice.with_next_sort().with_next_sort().with_next_sort() == choice


def test_keys_are_told_from_sequences_and_control_characters():
    typed = "j\x1b[A\x1bOB\x1b[5~\x1b[1;5C\x1b\r\x7fé\x00/"
    assert list(keys_in(typed)) == [
        *("j", "up", "down", "page up", "escape", "enter", "backspace", "é", "/")
    ]


class Played:
    """A LiveTop without a terminal: keys are pressed, and what is drawn is kept."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.asked, self.drawn = list(answers), [], ""
        console = Console(file=io.StringIO(), width=80, height=24)
        self.live = LiveTop(console, self.read, self.tell, 3_600)
        self.pressed: asyncio.Queue[str] = asyncio.Queue()

    async def read(self, text: str | None) -> Any:
        self.asked.append(text)
        answer = self.answers.pop(0) if self.answers else VIEW
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def tell(self, reference: str) -> Page:
        return Page(f"run {reference}", "failed", (("why", line(HOSTILE)),), ())

    async def play(self, *keys: str) -> None:
        """Press the keys, each after the screen was drawn, then end."""
        self.live._view = await self.read(None)
        left = [*keys, "quit"]

        def draw(texts: Any) -> None:
            self.drawn += "\n".join(text.plain for text in texts) + "\f"
            if left:
                self.pressed.put_nowait(left.pop(0))

        async with asyncio.timeout(60):
            await self.live._loop(draw, self.pressed)


async def test_keys_search_open_a_run_and_go_back():
    played = Played()
    await played.play("/", "e", "u", "x", "backspace", "enter", "", "enter", "", "", "q", "?", "f")
    assert {None, "e", "eu", "eux"} >= set(played.asked)
    assert "eu" in played.asked
    screens = played.drawn.split("\f")
    assert any(screen.startswith("run 00000001-run  failed") for screen in screens)
    assert "text: eux▏" in played.drawn
    assert 'with "eu"' in played.drawn
    assert "enter           open the run" in played.drawn
    assert "\x1b" not in played.drawn


async def test_an_outage_is_told_once_with_its_beginning_and_ends():
    down = UnreachableError("Postgres does not answer")
    played = Played(VIEW, down, down, VIEW)
    await played.play("r", "", "r", "", "r", "", "")
    notes = [text for text in played.drawn.splitlines() if "no answer since" in text]
    assert notes
    assert len({note.partition(": ")[0] for note in notes}) == 1
    assert "no answer" not in played.drawn.split("\f")[-2]


class FaultError(Exception):
    """What nobody expects."""


async def test_the_terminal_is_given_back_after_an_exception(monkeypatch: pytest.MonkeyPatch):
    outside, inside = os.openpty()
    before = termios.tcgetattr(inside)
    reads = 0

    async def read(_: str | None) -> Any:
        nonlocal reads
        reads += 1
        if reads > 1:
            assert termios.tcgetattr(inside) != before
            raise FaultError
        return VIEW

    with os.fdopen(inside) as keys, os.fdopen(os.dup(inside), "w") as screen:
        monkeypatch.setattr(sys, "stdin", keys)
        console = Console(file=screen, force_terminal=True, width=40, height=6)
        drawn = asyncio.create_task(asyncio.to_thread(_all_of, outside))
        with pytest.raises(FaultError):
            await LiveTop(console, read, lambda _: asyncio.sleep(0), 0.01).run()  # type: ignore[arg-type,return-value]
        assert termios.tcgetattr(inside) == before
    text = await drawn
    os.close(outside)
    for gives_back in (b"\x1b[?1049l", b"\x1b[?25h"):
        assert gives_back in text


def _all_of(terminal: int) -> bytes:
    """Return what is written until the last program closes the terminal."""
    found = b""
    while True:
        try:
            found += os.read(terminal, 65_536)
        except OSError:  # nobody has it open any more
            return found
