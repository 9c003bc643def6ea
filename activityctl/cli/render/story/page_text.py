"""A page as text for a terminal: facts, sections, the next commands."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from activityctl.cli.render.output import STYLES
from activityctl.cli.render.story.page import Line, Page
from activityctl.domain.values.untrusted import escape_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_LEAST_WIDTH: Final = 30
_OWN_STYLES: Final = frozenset({"bold", "dim"})


def print_page(console: "Console", page: Page) -> None:
    """Print the page; on a terminal, long lines are folded below themselves."""
    print_title(console, page)
    width = max((len(name) for name, _ in page.facts), default=0) + 2
    for name, fact in page.facts:
        print_line(console, Line(((f"{name:<{width}}", "dim"), *fact.parts), width, fact.is_whole))
    for section in page.sections:
        print_heading(console, section.title)
        for each in section.lines:
            print_line(console, Line((("  ", ""), *each.parts), each.indent + 2))
    if page.next_steps:
        print_heading(console, "next")
    for step in page.next_steps:
        command, _, reason = step.partition("  ")
        print_line(console, Line(((f"  {command}", ""), (f"  {reason}", "dim")), 4))


def print_title(console: "Console", page: Page) -> None:
    """Print the title with the status."""
    print_line(console, Line(((f"{page.title}  ", "bold"), (page.status, page.status))))


def print_heading(console: "Console", title: str) -> None:
    """Print an empty line and the title of a section."""
    console.print()
    print_line(console, Line(((title, "bold"),)))


def print_line(console: "Console", shown: Line) -> None:
    """Print the line with what is harmful in it made visible."""
    from rich.text import Text

    parts = [(escape_line(text), style) for text, style in shown.parts]
    if not console.is_terminal:
        console.file.write("".join(text for text, _ in parts).rstrip() + "\n")
        return
    text = Text()
    for part, style in parts:
        text.append(part, style if style in _OWN_STYLES else STYLES.get(style, ""))
    text.rstrip()
    for folded in [text] if shown.is_whole else _folded(console, text, shown.indent):
        console.print(folded, soft_wrap=True)


def _folded(console: "Console", text: "Text", indent: int) -> Iterator["Text"]:
    """Yield the lines that fit the terminal, all but the first indented."""
    if text.cell_len <= console.width:
        yield text
        return
    width = max(console.width - indent, _LEAST_WIDTH)
    for number, part in enumerate(text[indent:].wrap(console, width)):
        yield (text[:indent] if number == 0 else text.blank_copy(" " * indent)).append_text(part)
