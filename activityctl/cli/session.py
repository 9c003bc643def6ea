"""The state of one call: its settings, a console for stdout, one for stderr, the ports."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TextIO, TypeVar, cast

from activityctl.cli.colors import uses_escapes
from activityctl.domain.values.ci_commands import defused
from activityctl.domain.values.untrusted import escape_controls
from activityctl.errors import ActivityctlError, InterruptionError
from activityctl.setting_sources import setting_sources
from activityctl.settings import Settings, load_settings

if TYPE_CHECKING:
    from rich.console import Console

    from activityctl.domain.gitops.history import Origin
    from activityctl.wiring import Ports

Result = TypeVar("Result")


@dataclass
class Session:
    """The state that the functions of one call share."""

    flags: Mapping[str, Any] = field(default_factory=dict)
    color: str = "auto"
    interruption: InterruptionError | None = None
    """The error that Ctrl-C raises; None while a plain interrupt is enough."""
    files: Sequence[str] = ()
    """The files and folders that manifests are read from; `-` for input that is no file."""
    command: str | None = None
    """The name of the command."""
    _has_named_target: bool = False

    def set_interrupt_message(self, message: str, *, hint: str | None = None) -> None:
        """Set what Ctrl-C reports from now on: what was done, and what to do next."""
        self.interruption = InterruptionError(message, hint=hint)

    def fitting_hint(self, hint: str, words: Sequence[str]) -> str | None:
        """Return the hint, or a better one if it cannot help these words of a command."""
        from activityctl.cli.hints import fitting_hint

        try:
            is_local = self.settings.uses_local_daemon
        except ActivityctlError:
            return hint
        return fitting_hint(hint, words, uses_local_daemon=is_local)

    def require_reach(self) -> None:
        """Raise UsageError for a command that does not work over HTTP, if that is what is set."""
        from activityctl.cli.reach import REACHES, needs_database

        if REACHES.get(self.command or "") != "database" or "--help" in sys.argv:
            return
        try:
            server = load_settings(self.flags).server  # not kept: `up` changes what is found
        except ActivityctlError:
            return  # the command itself tells what is wrong with them
        if server is not None:
            raise needs_database(self.command or "this")

    def name_target(self) -> None:
        """Say once which servers a command changes, unless they are the local daemon's."""
        from activityctl.cli.target import CHANGING, target_text

        is_told = self._has_named_target or self.command not in CHANGING
        if not is_told and not self.settings.uses_local_daemon:
            self.err.print(escape_controls(target_text(setting_sources(self.flags))))
        self._has_named_target = True

    @cached_property
    def settings(self) -> Settings:
        """The settings of flags, environment, profile and local daemon; read at first use."""
        return load_settings(self.flags)

    @cached_property
    def origin(self) -> "Origin":
        """Who calls, and the commit of the files."""
        from activityctl.cli.provenance import origin_of_call

        return origin_of_call(self.settings, self.files)

    @cached_property
    def out(self) -> "Console":
        """The console for results: stdout."""
        return self._console(stderr=False)

    @cached_property
    def err(self) -> "Console":
        """The console for messages: stderr."""
        return self._console(stderr=True)

    @cached_property
    def draws_progress(self) -> bool:
        """Whether stderr is a terminal on which lines may be drawn again."""
        return self.err.is_terminal and uses_escapes(sys.stderr, self.color)

    @contextmanager
    def status(self, text: str) -> Iterator[Callable[[str], None]]:
        """Show what the command is doing, on a terminal only; yield a function that changes it."""
        if self.draws_progress:
            with self.err.status(text) as shown:
                yield shown.update
            return
        if self.err.is_terminal:
            self.err.print(text)
        yield lambda _: None

    def _console(self, *, stderr: bool) -> "Console":
        from rich.console import Console

        stream = sys.stderr if stderr else sys.stdout
        escapes = uses_escapes(stream, self.color)
        file = stream if stream.isatty() else cast("TextIO", DefusedStream(stream))
        return Console(
            file=file,
            color_system="auto" if escapes else None,
            no_color=not escapes,
            force_terminal=stream.isatty() or self.color == "always",
            markup=False,
            highlight=False,
            emoji=False,
            soft_wrap=not stream.isatty(),
        )

    def with_ports(
        self, work: "Callable[[Ports], Coroutine[Any, Any, Result]]", *, connections: int = 1
    ) -> Result:
        """Open the connections, do the work and close them; Ctrl-C cancels the work.

        If the settings name an HTTP API, the ports are those that it implements. Work that holds a
        lock and queries meanwhile needs several connections.
        """
        from activityctl import wiring

        self.name_target()

        async def open_and_work() -> Result:
            pool_size = connections if connections > 1 else 0
            async with wiring.open_ports(self.settings, pool_size=pool_size) as ports:
                return await work(ports)

        async def open_api_and_work() -> Result:
            async with wiring.open_remote_ports(self.settings) as ports:
                return await work(ports)

        if self.settings.server is not None:
            return run_to_end(open_api_and_work())
        with wiring.evaluating():
            return run_to_end(open_and_work())


def run_to_end(work: "Coroutine[Any, Any, Result]") -> Result:
    """Return the result of the work, which is not that of a task.

    `asyncio.run` puts the handler of Ctrl-C back at its end, and Python makes a text of the old
    one then: of the task and of its whole result, which took a tenth of a large `apply`.
    """
    results: list[Result] = []

    async def run() -> None:
        results.append(await work)

    asyncio.run(run())
    return results[0]


class DefusedStream:
    """A text stream whose lines no CI takes for commands; all else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_at_start = True

    def write(self, text: str) -> int:
        """Write the text, defused."""
        if text:
            self._stream.write(defused(text, at_line_start=self._is_at_start))
            self._is_at_start = text.endswith("\n")
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)
