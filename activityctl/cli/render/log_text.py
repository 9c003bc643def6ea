"""Log entries as lines: local time, level, run, message; of several subscriptions with a name."""

import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from activityctl.cli.render.output import Format, to_json
from activityctl.domain.chain.hook_log import told_message
from activityctl.domain.values.json_form import View, log_view
from activityctl.domain.values.log import LogEntry
from activityctl.domain.values.untrusted import escape_controls

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

LEVEL_STYLES: Final[Mapping[str, str]] = {"error": "red", "warning": "yellow", "debug": "dim"}
_PREFIX_STYLES: Final = ("cyan", "green", "magenta", "bright_blue", "yellow", "bright_red")
_WIDEST_NAME: Final = 24


class LogLines:
    """Prints entries, each with the name of its subscription if there are several.

    More names may be added meanwhile.
    """

    def __init__(self, names: Mapping[str, str], shape: Format) -> None:
        self._names = names
        self._shape = shape
        self._known = (0, 0)

    @property
    def _width(self) -> int:
        """The width of the names; 0 if there is only one, which need not be said."""
        count, width = self._known
        if count != len(self._names):
            count, longest = len(self._names), max(map(len, self._names.values()))
            width = min(longest, _WIDEST_NAME) if count > 1 else 0
            self._known = (count, width)
        return width

    def view(self, entry: LogEntry) -> View:
        """Return the JSON form of the entry, with the name of its subscription."""
        return {**log_view(entry), "subscription": self._names.get(entry.subscription_id)}

    def print(self, console: "Console", entry: LogEntry) -> None:
        """Print one entry and flush."""
        if self._shape == "jsonl":
            console.file.write(to_json(self.view(entry)) + "\n")
        elif console.is_terminal:
            console.print(self.line(entry), soft_wrap=True)
        else:
            console.file.write("".join(text for text, _ in self._parts(entry)) + "\n")
        console.file.flush()

    def line(self, entry: LogEntry) -> "Text":
        """Return the entry as one line; the lines of its message after the first are indented."""
        from rich.text import Text

        return Text.assemble(*self._parts(entry))

    def _parts(self, entry: LogEntry) -> list[tuple[str, str]]:
        moment = entry.created_at.astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        message = escape_controls(told_message(entry.message, entry.metadata)).replace(
            "\n", "\n    "
        )
        parts = [
            (moment, "dim"),
            (f" {entry.level:<7} ", LEVEL_STYLES.get(entry.level, "")),
            ((entry.run_id or "-")[:8], "dim"),
            (" " + message, LEVEL_STYLES.get(entry.level, "")),
        ]
        if not self._width:
            return parts
        name = self._names.get(entry.subscription_id, entry.subscription_id[:8])
        shown = name if len(name) <= self._width else name[: self._width - 1] + "…"
        style = _PREFIX_STYLES[zlib.crc32(name.encode()) % len(_PREFIX_STYLES)]
        return [(f"{shown:<{self._width}} ", style), *parts]
