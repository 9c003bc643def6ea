"""Print the checks of an executor's service, and of a simulated trigger."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from activityctl.cli.render.output import styled
from activityctl.domain.chain.conformance import Check
from activityctl.domain.values.untrusted import escape_controls

if TYPE_CHECKING:
    from rich.console import Console

_MARKS: Final = {
    "passed": "succeeded",
    "failed": "failed",
    "warning": "warning",
    "skipped": "skipped",
}


def print_check(console: "Console", check: Check) -> None:
    """Print a line with the verdict, and one with the hint if there is one."""
    from rich.text import Text

    mark = styled(_MARKS[check.verdict])
    line = Text.assemble((f"{check.verdict:<8}", mark.style), f" {check.name}: ")
    took = "" if check.duration_ms is None else f" ({check.duration_ms} ms)"
    line.append(escape_controls(f"{check.message}{took}"))
    console.print(line)
    if check.hint is not None:
        console.print(Text(f"         hint: {escape_controls(check.hint)}", style="dim"))


def verdict_counts(checks: Sequence[Check]) -> dict[str, int]:
    """Return how many checks have each verdict."""
    return {verdict: sum(each.verdict == verdict for each in checks) for verdict in _MARKS}
