"""`top` on a terminal: reads again and again, draws, and does what the keys say."""

import asyncio
import io
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from activityctl.cli.keyboard import Keyboard
from activityctl.cli.render.story.page import Page
from activityctl.cli.render.story.page_text import print_page
from activityctl.cli.render.top.choice import TopChoice
from activityctl.cli.render.top.screen import TopScreen, top_texts
from activityctl.domain.values.json_form import View
from activityctl.errors import ActivityctlError, UnreachableError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_SIGNALS: Final = {signal.SIGINT: 0, signal.SIGTERM: 128 + signal.SIGTERM, signal.SIGHUP: 129}
"""What ends it, and the exit code; Ctrl-C is a usual way to end it."""
_PAGE: Final = 10
_END: Final = 1_000_000
_STEPS: Final = {
    "up": -1,
    "k": -1,
    "down": 1,
    "j": 1,
    "page up": -_PAGE,
    "page down": _PAGE,
    "home": -_END,
    "end": _END,
}
_DRAWN_EVERY: Final = 1.0
_LONGEST_TEXT: Final = 100


class LiveTop:
    """The state of one `top`: what is shown, and what the keys have chosen."""

    def __init__(
        self,
        console: "Console",
        read: Callable[[str | None], Awaitable[View]],
        tell: Callable[[str], Awaitable[Page]],
        interval: float,
    ) -> None:
        self._console = console
        self._read = read
        self._tell = tell
        self._interval = interval
        self._choice = TopChoice()
        self._view: View = {}
        self._note = ""
        self._is_paused = self._is_typing = self._has_help = False
        self._story: list[str] | None = None
        """The lines of the run that is open; None if none is."""
        self._offset = 0
        self._reads_now = False
        self._telling: asyncio.Task[Page] | None = None
        self._is_done = False
        self.exit_code = 0

    async def run(self) -> None:
        """Show it until a key or a signal ends it; the terminal is restored whatever happens.

        Raises what the first read raises; later outages are only told.
        """
        self._view = await self._read(None)
        with (
            self._console.screen(hide_cursor=True) as screen,
            Keyboard() as keyboard,
            self._signals(keyboard.pressed),
        ):
            await self._loop(lambda texts: screen.update(*texts), keyboard.pressed)

    async def _loop(
        self, draw: Callable[[list["Text"]], None], pressed: "asyncio.Queue[str]"
    ) -> None:
        reading: asyncio.Task[View] | None = None
        key = asyncio.create_task(pressed.get())
        next_at = time.monotonic() + self._interval
        try:
            while not self._is_done:
                draw(self._texts())
                tasks = {task for task in (key, reading, self._telling) if task is not None}
                await asyncio.wait(tasks, timeout=_DRAWN_EVERY, return_when=asyncio.FIRST_COMPLETED)
                if reading is not None and reading.done():
                    self._take(reading)
                    reading, next_at = None, time.monotonic() + self._interval
                if self._telling is not None and self._telling.done():
                    self._open(self._telling)
                    self._telling = None
                if key.done():
                    self._press(key.result())
                    key = asyncio.create_task(pressed.get())
                is_due = time.monotonic() >= next_at and not self._is_paused
                if reading is None and (is_due or self._reads_now):
                    self._reads_now = False
                    reading = asyncio.create_task(_awaited(self._read(self._choice.text or None)))
        finally:
            await _cancelled(key, reading, self._telling)

    @contextmanager
    def _signals(self, pressed: "asyncio.Queue[str]") -> Iterator[None]:
        loop = asyncio.get_running_loop()

        def end(code: int) -> None:
            self.exit_code = code
            self._is_done = True
            pressed.put_nowait("")

        for number, code in _SIGNALS.items():
            loop.add_signal_handler(number, end, code)
        loop.add_signal_handler(signal.SIGWINCH, pressed.put_nowait, "")
        try:
            yield
        finally:
            for number in (*_SIGNALS, signal.SIGWINCH):
                loop.remove_signal_handler(number)

    def _take(self, reading: "asyncio.Task[View]") -> None:
        """Show what was read, or say that it could not be."""
        try:
            self._view, self._note = reading.result(), ""
        except UnreachableError as error:
            since = self._note.partition(": ")[0] or f"no answer since {_clock()}"
            self._note = f"{since}: {error.message}; trying again"

    def _open(self, telling: "asyncio.Task[Page]") -> None:
        try:
            page = telling.result()
        except ActivityctlError as error:
            self._note = error.message
            return
        drawn = io.StringIO()
        print_page(_console_like(self._console, drawn), page)
        self._story, self._offset = drawn.getvalue().splitlines(), 0

    def _texts(self) -> list["Text"]:
        width, height = self._console.size
        if self._story is not None:
            return self._story_texts(width, height)
        screen = TopScreen(
            self._view,
            self._choice,
            _clock(),
            self._note,
            is_paused=self._is_paused,
            is_typing=self._is_typing,
            has_help=self._has_help,
        )
        return top_texts(screen, width, height)

    def _story_texts(self, width: int, height: int) -> list["Text"]:
        from rich.text import Text

        lines, rows = self._story or [], max(height - 1, 1)
        self._offset = min(max(self._offset, 0), max(len(lines) - rows, 0))
        shown = lines[self._offset : self._offset + rows]
        texts = [Text.from_ansi(each, no_wrap=True) for each in shown]
        texts += [Text("")] * (rows - len(texts))
        last = min(self._offset + rows, len(lines))
        texts.append(Text(f"up, down, page up, page down  q back   {last} of {len(lines)}", "dim"))
        for text in texts:
            text.truncate(width)
        return texts

    def _press(self, key: str) -> None:
        if not key:
            return  # only drawn again
        if key == "quit":
            self._is_done = True
        elif self._is_typing:
            self._type(key)
        elif self._story is not None:
            self._press_in_story(key)
        elif self._has_help:
            self._has_help = False
        elif key in _STEPS:
            self._choice = self._choice.moved(self._choice.shown(self._runs), _STEPS[key])
        else:
            self._press_in_list(key)

    def _press_in_list(self, key: str) -> None:
        shown = self._choice.shown(self._runs)
        match key:
            case "q":
                self._is_done = True
            case "?":
                self._has_help = True
            case "/":
                self._is_typing, self._choice = True, replace(self._choice, text="")
            case "escape" if self._choice.text:
                self._search("")
            case "s":
                self._choice = self._choice.with_next_sort()
            case "f":
                self._choice = self._choice.with_next_status()
            case "p":
                self._is_paused = not self._is_paused
            case "r":
                self._reads_now = True
            case "enter" if shown and self._telling is None:
                run = shown[self._choice.place(shown)]["id"]
                self._telling = asyncio.create_task(_awaited(self._tell(run)))

    def _press_in_story(self, key: str) -> None:
        if key in {"q", "escape", "backspace", "enter"}:
            self._story = None
        else:
            self._offset += _STEPS.get(key, 0)

    def _type(self, key: str) -> None:
        text = self._choice.text
        if key in {"enter", "escape"}:
            self._is_typing = False
            self._search(text if key == "enter" else "")
        elif key == "backspace":
            self._search(text[:-1])
        elif len(key) == 1 and len(text) < _LONGEST_TEXT:
            self._search(text + key)

    def _search(self, text: str) -> None:
        self._choice = replace(self._choice, text=text)
        self._reads_now = True

    @property
    def _runs(self) -> list[Any]:
        found: Any = self._view["runs"]
        return list(found)


async def _awaited(work: Awaitable[Any]) -> Any:
    return await work


async def _cancelled(*tasks: "asyncio.Task[Any] | None") -> None:
    """Cancel the tasks and wait until they have ended."""
    for task in tasks:
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError, ActivityctlError):
                await task


def _console_like(console: "Console", file: io.StringIO) -> "Console":
    """Return a console with the size and colors of the other that writes to the file."""
    from rich.console import Console

    return Console(
        file=file,
        width=console.width,
        force_terminal=True,
        color_system="standard" if console.color_system else None,
        no_color=console.no_color,
        markup=False,
        highlight=False,
        emoji=False,
    )


def _clock() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")
