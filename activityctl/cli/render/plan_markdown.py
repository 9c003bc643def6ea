"""Show a plan as Markdown for a pull request, shortened to the length of one comment."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from activityctl.cli.render.plan_text import Line, plan_items, summary_line
from activityctl.domain.values.json_form import View
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.untrusted import escape_controls
from activityctl.frozen_dataclass import frozen_dataclass

LONGEST_COMMENT: Final = 65_536
"""In characters; GitHub refuses a longer comment."""
_ROOM_FOR_NOTE: Final = 400
_LONGEST_DETAIL: Final = 400
_LONGEST_COMMAND: Final = 1_000
_MARKS: Final = {"created": "+", "configured": "!", "deleted": "-"}


def markdown(view: View, command: str = "activityctl plan") -> str:
    """Return the plan as a comment: the summary, a diff block, the apply set.

    A plan that is too long for a comment is shortened: first the details of later items are left
    out, then later items. A note counts them and names the command that shows all.
    """
    items = [
        _Shown(item.noun, [_marked(line) for line in item.lines], item.count)
        for item in plan_items(view)
    ]
    head = ["### activityctl plan", "", summary_line(view), ""]
    tail = ["", f"Apply set: `{view['applyset']}`"] if view["applyset"] else []
    whole = _text(head, [line for item in items for line in item.lines], tail)
    if len(whole) <= LONGEST_COMMENT:
        return whole
    code = _code(command)
    room = LONGEST_COMMENT - len(_text(head, [""], tail)) - len(code) - _ROOM_FOR_NOTE
    kept = _shortened(items, room)
    note = f"Shortened: {_left_out(items, kept)}. See all of it with `{code}`."
    return _text(head, [line for lines in kept for line in lines], ["", note, *tail])


@frozen_dataclass
class _Shown:
    noun: str
    lines: list[str]
    count: int


def _shortened(items: Sequence[_Shown], room: int) -> list[list[str]]:
    """Return the lines that fit: the first line of each item, then the details."""
    kept: list[list[str]] = []
    for item in items:
        room -= len(item.lines[0]) + 1
        if room < 0:
            return kept
        kept.append([item.lines[0]])
    for lines, item in zip(kept, items, strict=True):
        for detail in item.lines[1:]:
            line = detail if len(detail) <= _LONGEST_DETAIL else detail[: _LONGEST_DETAIL - 1] + "…"
            room -= len(line) + 1
            if room < 0:
                return kept
            lines.append(line)
    return kept


def _left_out(items: Sequence[_Shown], kept: Sequence[list[str]]) -> str:
    """Return how many items are not shown, and how many are shown without all details."""
    missing = _counts(items[len(kept) :])
    parts = [f"{_counted(count, noun)} not shown" for noun, count in missing.items()]
    pairs = zip(items, kept, strict=False)
    cut = _counts(item for item, lines in pairs if len(lines) < len(item.lines))
    parts += [f"{_counted(count, noun)} without all details" for noun, count in cut.items()]
    return ", ".join(parts) or "long values are cut"


def _counts(items: Iterable[_Shown]) -> Mapping[str, int]:
    """Return how many changes, schedules and so on the items stand for, by their noun."""
    found: Counter[str] = Counter()
    for item in items:
        found[item.noun] += item.count
    return found


def _counted(count: int, noun: str) -> str:
    if noun in {"open runs", "waiting firings", "gathered events"}:
        return f"{noun} of {count_noun(count, 'subscription')}"
    return count_noun(count, noun)


def _marked(line: Line) -> str:
    text, action = line
    rest = text[1:] if text[:1] in "+~-! " else text
    return f"{_MARKS.get(action, ' ')}{rest}".replace("`", "'")


def _code(command: str) -> str:
    text = escape_controls(command).replace("`", "'").replace("\n", " ")
    return text if len(text) <= _LONGEST_COMMAND else "activityctl plan …"


def _text(head: Sequence[str], shown: Sequence[str], tail: Sequence[str]) -> str:
    block = ["```diff", *shown, "```"] if shown else []
    return "\n".join([*head, *block, *tail]) + "\n"
