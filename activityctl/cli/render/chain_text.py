"""Show how far EVM chains are read, for `status`."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from activityctl.domain.chain.reading import Reading
from activityctl.domain.values.json_form import format_timestamp
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.untrusted import escape_line
from activityctl.operations.looking.chains import blocks_behind
from activityctl.ports import ChainSummary

if TYPE_CHECKING:
    from rich.console import Console


def print_chains(console: "Console", chains: Iterable[ChainSummary]) -> None:
    """Print one line for each chain, and one for each reading that is behind it."""
    for chain in chains:
        triggers = count_noun(chain.triggers, "trigger", "triggers")
        if chain.error is not None:
            since = format_timestamp(chain.failing_since)
            console.print(
                f"chain {chain.chain_id} ({triggers}) cannot be read since {since}: "
                f"{escape_line(chain.error)}"
            )
        elif chain.head is None:
            console.print(f"chain {chain.chain_id} ({triggers}): not read yet")
        else:
            console.print(f"chain {chain.chain_id} ({triggers}): block {chain.head:,}")
        for reading in chain.readings if chain.head is not None else ():
            if (behind := blocks_behind(reading, chain.head or 0)) > 0:
                console.print(f"  {_what(reading)}: {_progress(reading, behind)}")


def _what(reading: Reading) -> str:
    if reading.until is not None:
        return f"past blocks up to {reading.until:,}"
    return f"logs with {count_noun(reading.confirmations, 'confirmation', 'confirmations')}"


def _progress(reading: Reading, behind: int) -> str:
    return f"read up to {reading.number:,}, {count_noun(behind, 'block', 'blocks')} to go"
