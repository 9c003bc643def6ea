"""One screen of `top`: exactly as many lines as the terminal has, each cut to its width."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from activityctl.cli.render.output import STYLES
from activityctl.cli.render.story.page import Line
from activityctl.cli.render.top.choice import TopChoice
from activityctl.cli.render.top.lines import help_lines, run_lines, summary_lines
from activityctl.domain.runs.at_work import LISTED
from activityctl.domain.values.json_form import View
from activityctl.domain.values.untrusted import escape_line
from activityctl.frozen_dataclass import frozen_dataclass

if TYPE_CHECKING:
    from rich.text import Text

_OWN_STYLES: Final = {"bold": "bold", "dim": "dim", "chosen": "reverse"}
_LEAST_ROWS: Final = 3
_PLAIN_ROWS: Final = 20
_KEYS: Final = "enter open  / text  f status  s sort  ? help  q end"


@frozen_dataclass
class TopScreen:
    """What is shown besides the runs."""

    view: View
    choice: TopChoice
    clock: str
    note: str = ""
    """What is wrong at the moment, such as an outage."""
    is_paused: bool = False
    is_typing: bool = False
    has_help: bool = False


def top_texts(screen: TopScreen, width: int, height: int) -> list["Text"]:
    """Return the lines of the screen."""
    pause = "  paused, p goes on" if screen.is_paused else ""
    head = [Line((("activityctl top  ", "bold"), (screen.clock, ""), (pause, "waiting")), 0)]
    if screen.note:
        head.append(Line(((screen.note, "failed"),), 0))
    head += summary_lines(screen.view)
    body = list(help_lines()) if screen.has_help else _runs(screen, width, height - len(head) - 3)
    foot = Line(((_KEYS, "dim"),), 0)
    lines = [*head, Line((), 0), *body][: height - 1]
    lines += [Line((), 0)] * (height - 1 - len(lines))
    return [text_of(each, width) for each in (*lines, foot)]


def _runs(screen: TopScreen, width: int, room: int) -> list[Line]:
    choice = screen.choice
    shown = choice.shown(screen.view["runs"])
    chosen = choice.place(shown)
    rows = max(room - 1, _LEAST_ROWS)
    first = min(max(chosen - rows + 1, 0), max(len(shown) - rows, 0))
    if not shown:
        return [_chosen_line(screen, 0), Line((("no runs", "dim"),), 0)]
    table = run_lines(shown, width, chosen=chosen, first=first, most=rows)
    return [_chosen_line(screen, len(shown)), *table]


def _chosen_line(screen: TopScreen, count: int) -> Line:
    choice = screen.choice
    which = "open and recently failed runs" if choice.status == "all" else f"{choice.status} runs"
    text = f'  with "{choice.text}"' if choice.text and not screen.is_typing else ""
    typing = f"  text: {choice.text}▏" if screen.is_typing else ""
    read = len(screen.view["runs"])
    of_many = f", of the first {read}" if read >= LISTED else ""
    told = f"{count} {which}{of_many}, by {choice.sort}"
    return Line(((told, "dim"), (text, "waiting"), (typing, "bold")), 0)


def text_of(shown: Line, width: int) -> "Text":
    """Return the line, harmless and cut to the width."""
    from rich.text import Text

    text = Text(no_wrap=True)
    for part, style in shown.parts:
        text.append(escape_line(part), _OWN_STYLES.get(style, STYLES.get(style, "")))
    text.truncate(width, overflow="ellipsis")
    return text


def plain_lines(view: View, clock: str, width: int) -> Sequence[str]:
    """Return one block without colors and keys, for an output that is no terminal."""
    shown: Any = view["runs"]
    lines = [Line(((f"activityctl top  {clock}", ""),), 0), *summary_lines(view)]
    if shown:
        lines += run_lines(shown, width, most=_PLAIN_ROWS)
    if len(shown) > _PLAIN_ROWS:
        more = f"{_PLAIN_ROWS} runs shown, and there are more; activityctl get runs lists them"
        lines.append(Line(((more, ""),), 0))
    return [escape_line(each.text).rstrip() for each in lines]
