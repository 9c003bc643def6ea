"""Print a simulated trigger, and the logs that would fire one."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from activityctl.cli.render.check_text import print_check
from activityctl.domain.chain.simulation import Simulated
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.untrusted import escape_controls, escape_line

if TYPE_CHECKING:
    from rich.console import Console

    from activityctl.operations.looking.logs_in_range import FoundLog

_SHOWN_DATA: Final = 74


def print_simulated(console: "Console", simulated: Simulated) -> None:
    """Print the request, the answer, the transaction and the verdicts."""
    console.print(f"POST {escape_line(simulated.url)}", soft_wrap=True)
    for name, value in simulated.headers.items():
        console.print(f"{name}: {escape_line(value)}", soft_wrap=True)
    _print_json(console, simulated.request)
    if simulated.response is not None:
        console.print("\nresponse")
        _print_json(console, simulated.response)
    if simulated.transaction is not None:
        console.print("\ntransaction")
        for name, value in simulated.transaction.items():
            text = "-" if value is None else str(value)
            if len(text) > _SHOWN_DATA:
                text = f"{text[:_SHOWN_DATA]}… ({len(text) // 2 - 1:,} bytes)"
            console.print(f"  {name}: {escape_line(text)}", soft_wrap=True)
    console.print()
    for check in simulated.checks:
        print_check(console, check)


def print_found_logs(console: "Console", logs: Sequence["FoundLog"], first: int, last: int) -> None:
    """Print one line for each log, with the reason if it would not fire."""
    for each in logs:
        log = each.log
        verdict = "fires" if each.reason is None else "does not fire"
        line = (
            f"block {log.block_number:,} log {log.log_index} of {log.transaction_hash} "
            f"{verdict} {each.trigger}"
        )
        console.print(line, soft_wrap=True)
        if each.reason is not None:
            console.print(f"  {escape_controls(each.reason)}")
    fires = count_noun(sum(each.reason is None for each in logs), "log", "logs")
    console.print(f"{fires} of blocks {first:,} to {last:,} would fire")


def _print_json(console: "Console", value: Any) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    console.print(escape_controls(text), soft_wrap=True)
