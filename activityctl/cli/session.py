"""What every command shares: settings resolved once, a console for stdout and one for stderr."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from activityctl.errors import InterruptionError, UsageError
from activityctl.settings import Settings, load_settings

if TYPE_CHECKING:
    from rich.console import Console

    from activityctl.domain.gitops.history import Origin
    from activityctl.wiring import Ports

Result = TypeVar("Result")


@dataclass
class Session:
    """One call of the command line."""

    flags: Mapping[str, Any] = field(default_factory=dict)
    color: str = "auto"
    interruption: InterruptionError | None = None
    """What Ctrl-C means now; None while there is nothing to say of it."""
    files: Sequence[str] = ()
    """What manifests are read from; `-` stands for what is in no file."""

    def set_interrupt_message(self, message: str, *, hint: str | None = None) -> None:
        """Have Ctrl-C, from now on, say how things stand and what to do next."""
        self.interruption = InterruptionError(message, hint=hint)

    @cached_property
    def settings(self) -> Settings:
        """Flag, environment, profile, local daemon: resolved at first use."""
        return load_settings(self.flags)

    @cached_property
    def origin(self) -> "Origin":
        """Who calls, and from which commit the files are."""
        from activityctl.cli.provenance import origin_of_call

        return origin_of_call(self.settings, self.files)

    @cached_property
    def out(self) -> "Console":
        """Results go here."""
        return self._console(stderr=False)

    @cached_property
    def err(self) -> "Console":
        """All else goes here."""
        return self._console(stderr=True)

    def _console(self, *, stderr: bool) -> "Console":
        from rich.console import Console

        if self.color not in {"auto", "always", "never"}:
            raise UsageError(f"--color {self.color}", hint="use auto, always or never")
        stream = sys.stderr if stderr else sys.stdout
        return Console(
            file=stream,
            no_color=True if self.color == "never" else None,
            force_terminal=True if self.color == "always" else None,
            markup=False,
            highlight=False,
            emoji=False,
            soft_wrap=not stream.isatty(),
        )

    def with_ports(self, work: "Callable[[Ports], Coroutine[Any, Any, Result]]") -> Result:
        """Open Postgres, do the work, close it; Ctrl-C cancels the work cleanly."""
        from activityctl import wiring

        async def whole() -> Result:
            async with wiring.open_ports(self.settings) as ports:
                return await work(ports)

        return asyncio.run(whole())


def now() -> datetime:
    """Return the present moment, UTC."""
    return datetime.now(UTC)
