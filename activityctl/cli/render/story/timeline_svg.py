"""A timeline as one SVG image that needs nothing else, for a file or inside of HTML."""

from collections.abc import Iterator
from typing import Final

from activityctl.cli.render.story.markup import color_rules, markup_text, style_class
from activityctl.cli.render.story.timeline import Row, Timeline, seconds_text

_WIDTH: Final = 1_000
_LABELS: Final = 260
_TOOK: Final = 70
_ROW: Final = 22
_BAR: Final = 12
_TOP: Final = 48
_LONGEST: Final = 36
_TICKS: Final = 8

_STYLE: Final = """
svg{{font:13px ui-sans-serif,system-ui,sans-serif;background:#fff;fill:#1f2328}}
.title{{font-weight:600}}.axis,.took{{fill:#656d76;font-size:11px}}.grid{{stroke:#d0d7de}}
rect{{fill:#8c959f}}{light}
@media (prefers-color-scheme:dark){{svg{{background:#0d1117;fill:#e6edf3}}
.axis,.took{{fill:#8d96a0}}.grid{{stroke:#30363d}}{dark}}}
"""


def timeline_svg(timeline: Timeline, title: str) -> str:
    """Return the image as text; it has no script and refers to nothing outside."""
    height = _TOP + _ROW * (len(timeline.rows) + len(timeline.left_out)) + 12
    form = "rect.{name}{{fill:{color}}}"
    style = _STYLE.format(light=color_rules(0, form), dark=color_rules(1, form))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"',
        f'role="img" width="{_WIDTH}" height="{height}">',
        f"<title>{markup_text(title)}</title><style>{style}</style>",
        f'<text class="title" x="12" y="20">{markup_text(title)}</text>',
        *_axis(timeline, height),
    ]
    for number, row in enumerate(timeline.rows):
        parts += _row(row, timeline.seconds, _TOP + number * _ROW)
    for number, (name, count) in enumerate(timeline.left_out.items(), len(timeline.rows)):
        y = _TOP + number * _ROW + _BAR
        text = markup_text(f"… and {count:,} more of {name}")
        parts.append(f'<text class="axis" x="12" y="{y}">{text}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _place(seconds: float, whole: float) -> float:
    return _LABELS + seconds / whole * (_WIDTH - _LABELS - _TOOK)


def _axis(timeline: Timeline, height: int) -> Iterator[str]:
    for tick in timeline.ticks(_TICKS):
        x = f"{_place(tick, timeline.seconds):.1f}"
        yield f'<line class="grid" x1="{x}" x2="{x}" y1="{_TOP - 6}" y2="{height - 8}"/>'
        yield f'<text class="axis" x="{x}" y="{_TOP - 12}">{seconds_text(tick)}</text>'


def _row(row: Row, whole: float, y: int) -> Iterator[str]:
    name = row.label.lstrip()
    indent = 12 + 7 * (len(row.label) - len(name))
    shown = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
    yield f'<text x="{indent}" y="{y + _BAR}">{markup_text(shown)}</text>'
    for bar in row.bars:
        x = _place(bar.start, whole)
        width = max(_place(bar.end, whole) - x, 2.0)
        tip = f"{name}: {bar.text}{bar.status}, {seconds_text(bar.end - bar.start)}"
        yield (
            f'<rect class="{style_class(bar.status)}" x="{x:.1f}" y="{y + 1}" '
            f'width="{width:.1f}" height="{_BAR}" rx="2"><title>{markup_text(tip)}</title></rect>'
        )
    unseen = "kept" if row.is_kept else row.status
    took = seconds_text(row.seconds) if row.bars else unseen
    x = _WIDTH - _TOOK + 8
    yield f'<text class="took" x="{x}" y="{y + _BAR}">{markup_text(took)}</text>'
