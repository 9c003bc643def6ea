"""The policy of executions: which calls of an executor are relayed, and how much they may spend.

A policy has layers: that of the definition, and others that only narrow it. A call is relayed if
every layer allows it, so that one more layer never allows more.
"""

from collections.abc import Iterator, Mapping
from dataclasses import field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from activityctl.domain.chain.hook_outcome import HookError, HookOutcome, failed
from activityctl.domain.values.duration import format_duration
from activityctl.frozen_dataclass import frozen_dataclass

if TYPE_CHECKING:  # it loads the libraries of signatures
    from activityctl.domain.chain.executable import Executable

NATIVE: Final = "native"
"""The asset of what a call sends with its value."""
CALL_TYPES: Final[Mapping[str, int]] = {"call": 0, "delegatecall": 1}
MOST_GAS: Final = 3_000_000
"""The most gas of an execution whose policy says nothing."""
LONGEST_LIFE: Final = timedelta(minutes=10)
"""How long an answer may be carried out if its policy says nothing."""
SPENDING: Final[Mapping[bytes, tuple[str, int]]] = {
    bytes.fromhex("a9059cbb"): ("transfer", 2),
    bytes.fromhex("095ea7b3"): ("approve", 2),
    bytes.fromhex("23b872dd"): ("transferFrom", 3),
}
"""The functions of a token that spend it, or let somebody spend it; the amount is the last word."""
_SELECTOR: Final = 4
_WORD: Final = 32

Function = tuple[str | None, bytes]
"""A selector, and the one contract for which it is allowed; None for all targets."""


@frozen_dataclass
class SpendWindow:
    """The spends of an asset within the last so much time."""

    asset: str
    length: timedelta


@frozen_dataclass
class TokenCap:
    """How much of a token may be spent, in its smallest unit; None for no limit."""

    per_execution: int | None = None
    per_window: int | None = None
    unreadable: str = ""
    """Why the limit cannot be compared with amounts; then nothing may be spent."""


@frozen_dataclass
class PolicyLayer:
    """The rules of one place; None where it has no rule. Addresses are in lower case."""

    name: str
    """Where it is written, as messages say it."""
    targets: frozenset[str] | None = None
    functions: frozenset[Function] | None = None
    call_types: frozenset[int] | None = None
    max_value: int | None = None
    max_value_per_window: int | None = None
    window: timedelta | None = None
    tokens: Mapping[str, TokenCap] = field(default_factory=dict)
    max_gas: int | None = None
    time_to_live: timedelta | None = None

    def names(self, to: str, selector: bytes) -> bool:
        """Whether the layer allows this function of the contract by name."""
        return self.functions is not None and bool(
            {(None, selector), (to, selector)} & self.functions
        )


@frozen_dataclass
class Policy:
    """The policies of the definition, and what narrows them."""

    definitions: tuple[PolicyLayer, ...]
    """At least one: that which the run has, and that which is in force now. All must allow it."""
    narrowed: tuple[PolicyLayer, ...] = ()

    @property
    def layers(self) -> tuple[PolicyLayer, ...]:
        """All layers."""
        return self.definitions + self.narrowed

    @property
    def max_gas(self) -> int:
        """The most gas of a transaction."""
        own = [MOST_GAS if each.max_gas is None else each.max_gas for each in self.definitions]
        return min([*own, *(each.max_gas for each in self.narrowed if each.max_gas is not None)])

    @property
    def time_to_live(self) -> timedelta:
        """How long after its answer a call may be sent."""
        own = [each.time_to_live or LONGEST_LIFE for each in self.definitions]
        return min([*own, *(each.time_to_live for each in self.narrowed if each.time_to_live)])


@frozen_dataclass
class Refusal:
    """Why a call is not relayed."""

    error: HookError
    message: str

    def outcome(self) -> HookOutcome:
        """Return the outcome of the trigger."""
        return failed(self.error, self.message)


class UndecodableError(ValueError):
    """The data of a call that spends a token is too short to have the amount."""


def spends_of(executable: "Executable") -> dict[str, int]:
    """Return how much of each asset a call spends, as far as the call itself says it.

    Raises UndecodableError for a call of a token without its amount.
    """
    spends = {NATIVE: executable.value_wei} if executable.value_wei else {}
    known = SPENDING.get(executable.data[:_SELECTOR])
    if known is not None:
        name, words = known
        if len(executable.data) < _SELECTOR + words * _WORD:
            raise UndecodableError(f"the data of {name} is too short to have an amount")
        start = _SELECTOR + (words - 1) * _WORD
        spends[executable.to.lower()] = int.from_bytes(executable.data[start : start + _WORD])
    return spends


def windows_of(policy: Policy, executable: "Executable") -> frozenset[SpendWindow]:
    """Return the sums that `judge` needs."""
    assets = {NATIVE, executable.to.lower()}
    return frozenset(
        SpendWindow(asset, layer.window)
        for layer in policy.layers
        if layer.window is not None
        for asset in assets
        if _per_window(layer, asset) is not None
    )


def judge(
    policy: Policy | None, executable: "Executable", spent: Mapping[SpendWindow, int]
) -> Refusal | None:
    """Return why the call must not be made; None if every layer allows it.

    `spent` has what was spent before in each window of `windows_of`. A window that is missing
    there is a KeyError, never an allowance.
    """
    if policy is None or not policy.definitions:
        return _refused(
            "the definition has no policy, and without one nothing is relayed: add policy with "
            "targets to its task"
        )
    try:
        spends = spends_of(executable)
    except UndecodableError as error:
        return _refused(str(error))
    for problem in _problems(policy, executable, spends, spent):
        return _refused(problem)
    return None


def judge_gas(policy: Policy, gas: int) -> Refusal | None:
    """Return why a transaction with this limit of gas must not be sent; None if it may."""
    if gas <= policy.max_gas:
        return None
    message = f"the transaction needs {gas:,} gas; maxGas of the policy is {policy.max_gas:,}"
    return Refusal(HookError.GAS_CAP, message)


def judge_age(policy: Policy, answered_at: datetime, now: datetime) -> Refusal | None:
    """Return why the answer is too old to be carried out; None if it may be."""
    age = max(now - answered_at, timedelta(0))
    if age <= policy.time_to_live:
        return None
    return Refusal(
        HookError.EXPIRED,
        f"the executor answered {age.total_seconds():.0f} s ago, and timeToLive of the policy is "
        f"{format_duration(policy.time_to_live)}",
    )


def _problems(
    policy: Policy,
    executable: "Executable",
    spends: Mapping[str, int],
    spent: Mapping[SpendWindow, int],
) -> Iterator[str]:
    for layer in policy.layers:
        yield from _call_problems(layer, executable)
    for layer in policy.definitions:
        yield from _grant_problems(layer, policy, executable, spends)
    for layer in policy.layers:
        for asset, amount in spends.items():
            yield from _spend_problems(layer, asset, amount, spent)


def _call_problems(layer: PolicyLayer, executable: "Executable") -> Iterator[str]:
    """Yield why a layer does not allow such a call, whatever it spends."""
    to, selector = executable.to.lower(), executable.data[:_SELECTOR]
    if layer.targets is not None and to not in layer.targets:
        yield f"{layer.name} does not have {executable.to} in targets"
    if layer.call_types is not None and executable.call_type not in layer.call_types:
        name = {number: name for name, number in CALL_TYPES.items()}[executable.call_type]
        yield f"{layer.name} does not have {name} in callTypes"
    if layer.functions is not None and not layer.names(to, selector) and executable.data:
        yield f"{layer.name} does not have 0x{selector.hex()} of {executable.to} in selectors"


def _grant_problems(
    layer: PolicyLayer, policy: Policy, executable: "Executable", spends: Mapping[str, int]
) -> Iterator[str]:
    """Yield why a definition does not allow what must be allowed by name: spending."""
    to, selector = executable.to.lower(), executable.data[:_SELECTOR]
    if layer.targets is None:
        yield f"{layer.name} has no targets"
    if executable.value_wei and layer.max_value is None:
        yield f"{layer.name} has no maxValue, so a call may send no value"
    if to in spends and to not in layer.tokens:
        name, _ = SPENDING[selector]
        yield f"{layer.name} has no limit in tokens for {executable.to}, of which this is {name}"
    is_token = any(to in each.tokens for each in policy.layers)
    is_other = bool(executable.data) and selector not in SPENDING
    if is_token and is_other and not layer.names(to, selector):
        yield (
            f"{executable.to} is a token with limits, and 0x{selector.hex()} is not transfer, "
            f"transferFrom or approve; {layer.name} would have to name it in selectors"
        )


def _spend_problems(
    layer: PolicyLayer, asset: str, amount: int, spent: Mapping[SpendWindow, int]
) -> Iterator[str]:
    cap = _cap(layer, asset)
    each, field_name = cap.per_execution, _field(asset)
    if cap.unreadable and amount:
        yield f"{layer.name}: {cap.unreadable}"
    if each is not None and amount > each:
        yield f"{layer.name}: {field_name} {amount} is over the limit {each} of one execution"
    if cap.per_window is None or layer.window is None:
        return
    before = spent[SpendWindow(asset, layer.window)]
    if before + amount > cap.per_window:
        yield (
            f"{layer.name}: {field_name} {amount}, after {before} in the last "
            f"{format_duration(layer.window)}, is over the limit {cap.per_window} of a window"
        )


def _cap(layer: PolicyLayer, asset: str) -> TokenCap:
    if asset == NATIVE:
        return TokenCap(layer.max_value, layer.max_value_per_window)
    return layer.tokens.get(asset, TokenCap())


def _per_window(layer: PolicyLayer, asset: str) -> int | None:
    return _cap(layer, asset).per_window


def _field(asset: str) -> str:
    return "value" if asset == NATIVE else f"amount of {asset}"


def _refused(message: str) -> Refusal:
    return Refusal(HookError.POLICY_REFUSED, message)
