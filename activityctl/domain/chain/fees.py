"""What a transaction pays for gas (EIP-1559), and how much more a replacement must pay."""

from typing import Final

from activityctl.frozen_dataclass import frozen_dataclass

TRANSFER_GAS: Final = 21_000
USUAL_GAS: Final = 300_000
"""What is assumed of a relayer that has sent nothing yet."""
_BUMP_PERCENT: Final = 10
"""Nodes take a replacement only if both fees are higher by this much."""
_GAS_RESERVE: Final = 4
"""A quarter is added to the estimate: the state may change until the call is in a block."""
_LOW_AFTER: Final = 10
"""A balance is low if it does not pay for this many transactions."""


@frozen_dataclass
class Fees:
    """What one unit of gas costs at most, and what of that the miner gets."""

    max_fee_wei: int
    priority_fee_wei: int


@frozen_dataclass
class Market:
    """What the chain asks for now."""

    base_fee_wei: int
    priority_fee_wei: int
    """What a node suggests."""


def first_fees(market: Market, cap_wei: int | None) -> Fees | None:
    """Return fees that hold while the base fee doubles; None if even now the cap is too low."""
    wanted = 2 * market.base_fee_wei + market.priority_fee_wei
    if cap_wei is None or wanted <= cap_wei:
        return Fees(wanted, market.priority_fee_wei)
    if cap_wei < market.base_fee_wei:
        return None
    return Fees(cap_wei, min(market.priority_fee_wei, cap_wei))


def higher_fees(former: Fees, market: Market, cap_wei: int | None) -> Fees | None:
    """Return the fees of a replacement; None if the cap is below what nodes would take."""
    least = Fees(_bumped(former.max_fee_wei), _bumped(former.priority_fee_wei))
    priority = max(least.priority_fee_wei, market.priority_fee_wei)
    wanted = max(least.max_fee_wei, 2 * market.base_fee_wei + priority)
    if cap_wei is not None and wanted > cap_wei:
        if cap_wei < least.max_fee_wei or cap_wei < least.priority_fee_wei:
            return None
        wanted = cap_wei
    return Fees(wanted, min(priority, wanted))


def gas_limit(estimate: int) -> int:
    """Return the gas limit for an estimate of a node."""
    return estimate + estimate // _GAS_RESERVE


def is_low(balance_wei: int, gas: int, fee_wei: int) -> bool:
    """Return whether a relayer should be given more."""
    return balance_wei < _LOW_AFTER * gas * fee_wei


def _bumped(fee_wei: int) -> int:
    return max(fee_wei + 1, -(-fee_wei * (100 + _BUMP_PERCENT) // 100))
