"""A page as one HTML file that needs nothing else, to attach to a ticket."""

from collections.abc import Iterator
from typing import Final

from activityctl.cli.render.story.markup import color_rules, markup_text, style_class
from activityctl.cli.render.story.page import Line, Page, Section

_STYLE: Final = """
:root{{color-scheme:light dark}}
body{{font:15px/1.5 ui-sans-serif,system-ui,sans-serif;max-width:68rem;margin:2rem auto;
padding:0 1rem;background:#fff;color:#1f2328}}
h1{{font-size:1.3rem;overflow-wrap:anywhere}}h2{{font-size:1rem;margin:1.6rem 0 .4rem}}
dl{{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1.2rem;margin:0}}
dt,.dim{{color:#656d76}}dd{{margin:0;overflow-wrap:anywhere}}.bold{{font-weight:600}}
pre{{font:13px/1.55 ui-monospace,Menlo,Consolas,monospace;background:#f6f8fa;padding:.7rem .9rem;
border-radius:6px;overflow-x:auto;margin:0;white-space:pre-wrap;overflow-wrap:anywhere}}
.picture{{overflow-x:auto}}.picture svg{{max-width:100%;height:auto}}{light}
@media (prefers-color-scheme:dark){{body{{background:#0d1117;color:#e6edf3}}
pre{{background:#161b22}}dt,.dim{{color:#8d96a0}}{dark}}}
"""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


def page_html(page: Page, picture: str, made: str) -> str:
    """Return the page with a picture; `made` says when and by what it was made.

    It has no script, refers to nothing outside, and its policy lets a browser load nothing.
    """
    form = ".{name}{{color:{color}}}"
    style = _STYLE.format(light=color_rules(0, form), dark=color_rules(1, form))
    title = markup_text(page.title)
    status = f'<span class="{style_class(page.status)}">{markup_text(page.status)}</span>'
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title><style>{style}</style></head><body>",
        f"<h1>{title} {status}</h1>",
        "<dl>",
        *(f"<dt>{markup_text(name)}</dt><dd>{_line(fact)}</dd>" for name, fact in page.facts),
        "</dl>",
    ]
    if picture:
        parts += ["<h2>timeline</h2>", f'<div class="picture">{picture}</div>']
    for section in page.sections:
        parts += _section(section)
    parts += [f'<p class="dim">{markup_text(made)}</p>', "</body></html>\n"]
    return "\n".join(parts)


def _section(section: Section) -> Iterator[str]:
    yield f"<h2>{markup_text(section.title)}</h2>"
    lines = "\n".join(_line(each) for each in section.lines)
    yield f"<pre>{lines}</pre>"


def _line(line: Line) -> str:
    return "".join(_part(text, style) for text, style in line.parts)


def _part(text: str, style: str) -> str:
    shown = markup_text(text.replace("\n", "\\n"))
    name = style_class(style)
    return f'<span class="{name}">{shown}</span>' if name else shown
