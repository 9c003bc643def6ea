"""Print the explanation of a saved request, for `explain event --source`."""

from typing import TYPE_CHECKING, Final

from activityctl.cli.render.event_explanation import print_explained
from activityctl.cli.render.output import to_yaml
from activityctl.domain.values.json_form import View
from activityctl.domain.values.untrusted import escape_controls

if TYPE_CHECKING:
    from rich.console import Console

_SHOWN_EVENTS: Final = 10
_MARKS: Final = {
    (True, False): ("✓", "verified: ", "green"),
    (True, True): ("!", "", "yellow"),
    (False, False): ("✗", "not verified: ", "red"),
    (False, True): ("-", "", ""),
}
"""By whether the request is verified, and whether the source accepts anybody."""


def print_request(console: "Console", view: View, *, shows_all: bool) -> None:
    """Print whether the request is verified, what becomes of it, and what its events match."""
    head = f"{view['method']} /v1/sources/{view['source']}, {view['size']:,} bytes"
    console.print(escape_controls(head), style="bold")
    mark, words, style = _MARKS[view["verified"], view["isOpen"]]
    console.print(escape_controls(f"{mark} {words}{view['verification']}"), style=style)
    if view["outcome"] == "refused" and view["verified"]:
        console.print(escape_controls(f"✗ refused: {view['reason']}"), style="red")
    console.print(f"  answered with {view['status']}" + _code(view["code"]))
    if view["outcome"] == "challenge":
        console.print(escape_controls(f"  answer: {view['answer']}"))
    for note in view["notes"]:
        console.print(escape_controls(f"  ! {note}"), style="yellow")
    if not (view["outcome"] == "refused" and view["verified"]):
        console.print(escape_controls(f"  becomes {view['mapping']}"))
    for event in view["events"][:_SHOWN_EVENTS]:
        console.print()
        console.print(escape_controls(to_yaml(event["event"]).rstrip()))
        console.print()
        print_explained(console, event, shows_all=shows_all)
    if (more := len(view["events"]) - _SHOWN_EVENTS) > 0:
        console.print(f"\n{more:,} more events; -o json shows all")


def _code(code: str | None) -> str:
    return f", recorded as {code}" if code else ""
