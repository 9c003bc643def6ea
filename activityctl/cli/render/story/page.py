"""Page: what is told, as facts and sections of lines; how it is drawn is not decided here."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from activityctl.cli.render.output import to_yaml
from activityctl.frozen_dataclass import frozen_dataclass

Part = tuple[str, str]
"""A text, and its style: a status, `bold`, `dim` or nothing."""

SIGNS: Final[Mapping[str, str]] = {
    "succeeded": "✓",
    "failed": "✗",
    "timed_out": "✗",
    "running": "▶",
    "waiting": "…",
    "lost": "✗",
}


@frozen_dataclass
class Line:
    """One line. If it is folded, all but the first part of it are indented."""

    parts: tuple[Part, ...]
    indent: int = 2
    is_whole: bool = False
    """Whether it is never folded, because a terminal opens or copies it as one."""

    @property
    def text(self) -> str:
        """The line without styles."""
        return "".join(text for text, _ in self.parts)


@frozen_dataclass
class Section:
    """A title with lines."""

    title: str
    lines: tuple[Line, ...]


@frozen_dataclass
class Page:
    """What is told of one object."""

    title: str
    status: str
    facts: tuple[tuple[str, Line], ...]
    sections: tuple[Section, ...]
    next_steps: tuple[str, ...] = ()
    """Commands that help next, each with its reason behind two spaces."""


def line(text: str, style: str = "", indent: int = 2) -> Line:
    """Return a line in one style."""
    return Line(((text, style),), indent)


def value_section(title: str, value: object, most_lines: int) -> Iterator[Section]:
    """Yield a section with the value as YAML; nothing for an empty value."""
    if value in (None, {}, [], ""):
        return
    lines = to_yaml(value).removesuffix("...\n").splitlines()
    shown = [line(text, indent=4) for text in lines[:most_lines]]
    if len(lines) > most_lines:
        shown.append(line(f"… {len(lines) - most_lines:,} more lines; -o yaml has all", "dim"))
    yield Section(title, tuple(shown))


def local_time(text: str | None) -> str:
    """Return a time stamp in local time with its zone; `-` for none."""
    if text is None:
        return "-"
    moment = datetime.fromisoformat(text).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03d} {moment:%Z}"


def clock_time(text: str) -> str:
    """Return the local time of day of a time stamp."""
    return datetime.fromisoformat(text).astimezone().strftime("%H:%M:%S.%f")[:-3]


def column_width(texts: Sequence[str], most: int) -> int:
    """Return the width of a column that holds these texts, at most `most`."""
    return min(max(map(len, texts), default=0), most)
