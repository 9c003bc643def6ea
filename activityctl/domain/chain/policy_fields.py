"""The policy of executions as YAML has it: of a definition, and of a subscription.

`activityctl.domain.chain.policy` decides; this file reads.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from decimal import Decimal, localcontext
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema

from activityctl.domain.chain.address import Address
from activityctl.domain.chain.amounts import WholeUnits
from activityctl.domain.chain.event_signature import read_signature
from activityctl.domain.chain.hexadecimal import hex_bytes
from activityctl.domain.chain.policy import CALL_TYPES, Function, PolicyLayer, TokenCap
from activityctl.domain.values.duration import LimitDuration
from activityctl.domain.values.model import Manifest, is_written

_SELECTOR: Final = 4
_MOST: Final = 256
_MOST_DECIMALS: Final = 36
_LONGEST_WINDOW: Final = timedelta(days=366)
"""Spends are kept longer than that, whatever the retention."""
_MOST_GAS: Final = 100_000_000
_EXAMPLE: Final = "deposit(uint256,address)"
_SELECTOR_TEXT: Final = "The function, as transfer(address,uint256) or as its four bytes."
_TARGET_TEXT: Final = "The contract for which it is allowed. Default: all targets."


def selector_of(text: str) -> bytes:
    """Return the four bytes of `0xa9059cbb` or `transfer(address,uint256)`; else ValueError."""
    if text.startswith("0x"):
        try:
            found = hex_bytes(text)
        except ValueError as error:
            raise ValueError(f"{text[:40]} {error}") from None
        if len(found) != _SELECTOR:
            raise ValueError(f"{text[:40]} has {len(found)} bytes, and a selector has 4")
        return found
    try:
        declared = read_signature(text.removeprefix("function ").strip())
    except ValueError as error:
        reason = str(error).partition("; write it like event")[0]
        raise ValueError(
            f"{reason}; write a function like transfer(address,uint256), or its selector"
        ) from None
    return bytes.fromhex(declared.topic[2 : 2 + 2 * _SELECTOR])


def _check_selector(text: str) -> str:
    selector_of(text)
    return text


def _as_function(value: object) -> object:
    return {"selector": value} if isinstance(value, str) else value


class AllowedFunction(Manifest):
    """A function that may be called: of all targets, or of one."""

    selector: Annotated[str, AfterValidator(_check_selector)] = Field(
        description=_SELECTOR_TEXT, examples=[_EXAMPLE]
    )
    target: Address | None = Field(
        default=None,
        description=_TARGET_TEXT,
        examples=["0x4200000000000000000000000000000000000006"],
    )


def _check_window(window: timedelta, info: ValidationInfo) -> timedelta:
    """Refuse a window in which spends might count that are not kept any more."""
    if window > _LONGEST_WINDOW and is_written(info):
        raise ValueError(f"should be at most {_LONGEST_WINDOW.days} days")
    return window


Window = Annotated[LimitDuration, AfterValidator(_check_window)]


class TokenLimit(Manifest):
    """How much of a token may be spent, by transfer, transferFrom and approve."""

    max_per_execution: WholeUnits | None = Field(
        default=None,
        description="The most for one execution, in the smallest unit.",
        examples=["800000000000000"],
    )
    max_per_window: WholeUnits | None = Field(
        default=None,
        description="The most within `window`, in the smallest unit.",
        examples=["5000000000000000"],
    )
    decimals: int | None = Field(
        default=None,
        ge=0,
        le=_MOST_DECIMALS,
        description="The decimals of the token. Needed if a subscription has tokenLimits for it.",
        examples=[18],
    )


_TEXT_OR_OBJECT: Final = WithJsonSchema(
    {
        "anyOf": [
            {"type": "string"},
            {
                "type": "object",
                "properties": {
                    "selector": {
                        "type": "string",
                        "description": _SELECTOR_TEXT,
                        "examples": [_EXAMPLE],
                    },
                    "target": {
                        "type": "string",
                        "description": _TARGET_TEXT,
                        "examples": ["0x4200000000000000000000000000000000000006"],
                    },
                },
                "required": ["selector"],
                "additionalProperties": False,
            },
        ]
    }
)
Functions = Annotated[
    tuple[Annotated[AllowedFunction, BeforeValidator(_as_function), _TEXT_OR_OBJECT], ...],
    Field(strict=False, max_length=_MOST),
]
Targets = Annotated[tuple[Address, ...], Field(strict=False, max_length=_MOST)]
CallTypes = Annotated[
    tuple[Literal["call", "delegatecall"], ...], Field(strict=False, min_length=1, max_length=2)
]
_WINDOW_EXAMPLE: Final[Any] = "24h"


class NarrowedPolicy(Manifest):
    """What a subscription allows less than its definition. It never allows more."""

    targets: Targets | None = Field(
        default=None,
        description="The contracts that may be called.",
        examples=[["0x4200000000000000000000000000000000000006"]],
    )
    selectors: Functions | None = Field(
        default=None,
        description="The functions that may be called, each of all targets or of one.",
        examples=[["deposit(uint256,address)"]],
    )
    call_types: CallTypes | None = Field(
        default=None,
        description="`call`, `delegatecall`, or both. No limit sees what is in a delegate call.",
        examples=[["call"]],
    )
    max_value: WholeUnits | None = Field(
        default=None,
        description="The most native currency for one execution, in wei.",
        examples=["10000000000000000"],
    )
    max_value_per_window: WholeUnits | None = Field(
        default=None,
        description="The most native currency within `window`, in wei.",
        examples=["100000000000000000"],
    )
    window: Window | None = Field(
        default=None,
        description="How far back the limits of a window count; at most 366 days.",
        examples=[_WINDOW_EXAMPLE],
    )
    tokens: dict[Address, TokenLimit] = Field(
        default={},
        description="How much of each token may be spent.",
        examples=[
            {"0x4200000000000000000000000000000000000006": {"maxPerExecution": "800000000000000"}}
        ],
    )
    max_gas: int | None = Field(
        default=None,
        ge=21_000,
        le=_MOST_GAS,
        description="The most gas of a transaction.",
        examples=[500_000],
    )
    time_to_live: LimitDuration | None = Field(
        default=None,
        description="How long after its answer a call may be sent.",
        examples=["5m"],
    )


class ExecutionPolicy(NarrowedPolicy):
    """What the executor's calls may do. What it does not allow is refused."""

    targets: Targets = Field(
        description="The contracts that may be called.",
        examples=[["0x4200000000000000000000000000000000000006"]],
    )
    call_types: CallTypes = Field(
        default=("call",),
        description="`call`, `delegatecall`, or both. No limit sees what is in a delegate call. "
        "Default: call.",
        examples=[["call"]],
    )
    max_value: WholeUnits = Field(
        default="0",
        description="The most native currency for one execution, in wei. Default: 0.",
        examples=["10000000000000000"],
    )
    tokens: dict[Address, TokenLimit] = Field(
        default={},
        description="How much of each token may be spent. transfer, transferFrom and approve of "
        "another token are refused, and other functions of these unless `selectors` names them.",
        examples=[
            {"0x4200000000000000000000000000000000000006": {"maxPerExecution": "800000000000000"}}
        ],
    )
    max_gas: int | None = Field(
        default=None,
        ge=21_000,
        le=_MOST_GAS,
        description="The most gas of a transaction. Default: 3,000,000.",
        examples=[500_000],
    )
    time_to_live: LimitDuration | None = Field(
        default=None,
        description="How long after its answer a call may be sent. Default: 10m.",
        examples=["5m"],
    )


def layer_of(policy: NarrowedPolicy, name: str) -> PolicyLayer:
    """Return the rules of a policy; `name` is where it is written."""
    return PolicyLayer(
        name,
        targets=None if policy.targets is None else lower_case(policy.targets),
        functions=None if policy.selectors is None else functions_of(policy.selectors),
        call_types=None if policy.call_types is None else _call_types(policy.call_types),
        max_value=_number(policy.max_value),
        max_value_per_window=_number(policy.max_value_per_window),
        window=policy.window,
        tokens={
            address.lower(): TokenCap(
                _number(limit.max_per_execution), _number(limit.max_per_window)
            )
            for address, limit in policy.tokens.items()
        },
        max_gas=policy.max_gas,
        time_to_live=policy.time_to_live,
    )


def account_layers(
    inputs: Mapping[str, str], limits: Mapping[str, str], policies: Iterable[NarrowedPolicy]
) -> tuple[PolicyLayer, ...]:
    """Return the limits that an account has itself: what was paid in, and what may be spent.

    The limits are in whole tokens, so the decimals of each are needed, which policies have.
    """
    decimals = decimals_of(policies)
    paid = {token.lower(): TokenCap(int(amount)) for token, amount in inputs.items()}
    spendable = {
        token.lower(): limit_cap(amount, decimals.get(token.lower()), token)
        for token, amount in limits.items()
    }
    named = (("tokenInputs of the account", paid), ("tokenLimits of the account", spendable))
    return tuple(PolicyLayer(name, tokens=tokens) for name, tokens in named if tokens)


def decimals_of(policies: Iterable[NarrowedPolicy]) -> dict[str, int]:
    """Return the decimals of tokens, by address in lower case."""
    return {
        token.lower(): limit.decimals
        for policy in policies
        for token, limit in policy.tokens.items()
        if limit.decimals is not None
    }


def limit_cap(amount: str, decimals: int | None, token: str) -> TokenCap:
    """Return the limit of an amount in whole tokens, rounded down."""
    with localcontext(prec=300):
        number = Decimal(amount)
        if not number:
            return TokenCap(0)
        if decimals is None:
            reason = f"the decimals of {token} are not known; add decimals to it in tokens"
            return TokenCap(unreadable=reason)
        return TokenCap(int(number.scaleb(decimals)))


def lower_case(addresses: Iterable[str]) -> frozenset[str]:
    """Return addresses as they are compared."""
    return frozenset(address.lower() for address in addresses)


def functions_of(allowed: Iterable[AllowedFunction]) -> frozenset[Function]:
    """Return functions as they are compared."""
    return frozenset(
        (each.target and each.target.lower(), selector_of(each.selector)) for each in allowed
    )


def longest_window(layers: Iterable[PolicyLayer]) -> timedelta:
    """Return how far back spends may count."""
    return max((layer.window for layer in layers if layer.window), default=timedelta(0))


def _call_types(names: Iterable[str]) -> frozenset[int]:
    return frozenset(CALL_TYPES[name] for name in names)


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)
