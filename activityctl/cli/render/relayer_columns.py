"""The columns of the list of relayers."""

from collections.abc import Sequence
from typing import Final

from activityctl.cli.render.output import Column
from activityctl.domain.values.json_form import View


def _balance(text: str | None) -> str | None:
    """Return an amount with six decimals at most."""
    if text is None:
        return None
    whole, dot, decimals = text.partition(".")
    return f"{whole}{dot}{decimals[:6]}"


def _nonce(view: View) -> str | None:
    """Return the next nonce, and that of the chain if it differs."""
    ours, of_chain = view["nonce"], view["chainNonce"]
    if ours is None or of_chain in {None, ours}:
        return (
            None if of_chain is None and ours is None else str(of_chain if ours is None else ours)
        )
    return f"{ours} (chain: {of_chain})"


RELAYERS: Final[Sequence[Column]] = (
    ("NAME", lambda view: view["name"]),
    ("CHAIN", lambda view: view["chainId"]),
    ("BALANCE", lambda view: _balance(view["balance"])),
    ("NONCE", _nonce),
    ("PENDING", lambda view: view["pending"]),
    ("PROBLEM", lambda view: view["problem"]),
)
RELAYERS_WIDE: Final[Sequence[Column]] = (
    ("ADDRESS", lambda view: view["address"]),
    ("WEI", lambda view: view["balanceWei"]),
    ("USED BY", lambda view: ", ".join(view["usedBy"]) or None),
)
