"""Show how far EVM chains are read, for `status`."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from activityctl.domain.values.json_form import View
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.untrusted import escape_line

if TYPE_CHECKING:
    from rich.console import Console


def print_chains(console: "Console", chains: Iterable[View]) -> None:
    """Print one line for each chain, and one for each reading that is behind it."""
    for chain in chains:
        name = f"chain {chain['chainId']} ({count_noun(chain['triggers'], 'trigger', 'triggers')})"
        if chain["error"] is not None:
            console.print(
                f"{name} cannot be read since {chain['failingSince']}: "
                f"{escape_line(chain['error'])}"
            )
        elif chain["head"] is None:
            console.print(f"{name}: not read yet")
        else:
            console.print(f"{name}: block {chain['head']:,}")
        for reading in chain["readings"]:
            if reading["behind"]:
                console.print(f"  {_what(reading)}: {_progress(reading)}")


def _what(reading: View) -> str:
    if reading["until"] is not None:
        return f"past blocks up to {reading['until']:,}"
    return f"logs with {count_noun(reading['confirmations'], 'confirmation', 'confirmations')}"


def _progress(reading: View) -> str:
    left = count_noun(reading["behind"], "block", "blocks")
    return f"read up to {reading['block']:,}, {left} to go"
