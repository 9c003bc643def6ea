"""Texts of strangers in HTML and SVG: they are never markup, and their signs are made visible."""

import html
from typing import Final

from activityctl.domain.values.untrusted import escape_controls

_NO_XML: Final = {0xFFFE: "\\ufffe", 0xFFFF: "\\uffff"}
"""Characters that XML does not allow, beside those that are made visible anyway."""

COLORS: Final = {
    "succeeded": ("#1a7f37", "#3fb950"),
    "failed": ("#cf222e", "#f85149"),
    "timed_out": ("#cf222e", "#f85149"),
    "lost": ("#cf222e", "#f85149"),
    "running": ("#0969da", "#58a6ff"),
    "waiting": ("#8250df", "#bc8cff"),
    "cancelled": ("#9a6700", "#d29922"),
    "cancelling": ("#9a6700", "#d29922"),
    "stopped": ("#9a6700", "#d29922"),
    "interrupted": ("#9a6700", "#d29922"),
    "warning": ("#9a6700", "#d29922"),
}
"""The colors of a status in a light and in a dark scheme."""


def markup_text(text: str) -> str:
    """Return the text for the content or an attribute of an element."""
    return html.escape(escape_controls(text).translate(_NO_XML))


def style_class(style: str) -> str:
    """Return the class of a style; statuses without a color have none."""
    return style if style in COLORS or style in {"bold", "dim"} else ""


def color_rules(scheme: int, form: str) -> str:
    """Return a CSS rule for each status; `form` says which property has the color."""
    return "".join(form.format(name=name, color=colors[scheme]) for name, colors in COLORS.items())
