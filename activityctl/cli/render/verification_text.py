"""The result of `verify` as text: how many histories fit, and each that does not."""

from typing import TYPE_CHECKING

from activityctl.domain.values.json_form import View
from activityctl.domain.values.untrusted import escape_line

if TYPE_CHECKING:
    from rich.console import Console


def print_verification(
    console: "Console", view: View, *, is_of_server: bool, only_open: bool
) -> None:
    """Print a paragraph for each history that does not fit, then the counts."""
    from rich.text import Text

    for item in view["items"]:
        runs = item["runs"]
        more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
        name = f"run {runs[0]}{more}" if runs else f"workflow {item['workflowId']}"
        where = "" if item["eventId"] is None else f", event {item['eventId']} {item['eventType']}"
        console.print(Text(escape_line(f"{name}{where}: does not fit"), style="red"))
        console.print(escape_line(f"  {item['source'] or item['workflowId']}"))
        console.print(escape_line(f"  {item['reason']}"))
    count, parted = view["verified"], view["parted"]
    if not count:
        what = "open run" if only_open else "run"
        console.print(f"no {what} has a history" if is_of_server else "no history")
        return
    fit = count - parted
    style = "red" if parted else "green"
    text = f"histories that fit this version: {fit:,} of {count:,}"
    console.print(f"{text} ({view['seconds']:.1f} s)", style=style)
    if parted:
        console.print("hint: run a worker of the version that began these runs until they end")
