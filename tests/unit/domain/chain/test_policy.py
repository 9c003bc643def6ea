"""A policy allows only what it says, a narrowing never allows more, and no window is exceeded."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from activityctl.adapters.memory.runs.spends import MemorySpendLedger
from activityctl.domain.chain.account import Account
from activityctl.domain.chain.executable import Executable
from activityctl.domain.chain.execution_policy import execution_policy
from activityctl.domain.chain.policy import (
    NATIVE,
    Policy,
    PolicyLayer,
    SpendWindow,
    TokenCap,
    judge,
    judge_age,
    judge_gas,
    spends_of,
    windows_of,
)
from activityctl.domain.chain.policy_fields import ExecutionPolicy, limit_cap, selector_of
from activityctl.ports import OTHER_SPEND, Spend

NOW = datetime(2026, 5, 1, tzinfo=UTC)
VAULT, TOKEN, OTHER = (f"0x{digit * 40}" for digit in "abc")
ME = "0x" + 40 * "1"
DEPOSIT = bytes.fromhex("d0e30db0")
HOUR = timedelta(hours=1)


def call(to: str = VAULT, data: bytes = DEPOSIT, value: int = 0, kind: int = 0) -> Executable:
    return Executable(kind, to, value, data)


def spending(name: str, amount: int, to: str = TOKEN) -> Executable:
    selectors = {"transfer": "a9059cbb", "approve": "095ea7b3", "transferFrom": "23b872dd"}
    word = bytes.fromhex(ME[2:]).rjust(32, b"\0")
    words = (word, word) if name == "transferFrom" else (word,)
    return call(to, bytes.fromhex(selectors[name]) + b"".join(words) + amount.to_bytes(32))


def policy(account: Mapping[str, Any] | None = None, **fields: Any) -> Policy | None:
    written = ExecutionPolicy.model_validate({"targets": [VAULT, TOKEN], **fields})
    owner = Account.model_validate({"chainId": 1, "subAccountAddress": ME, **(account or {})})
    return execution_policy(written, owner)


def reason(found: Policy | None, executable: Executable, spent: int = 0) -> str:
    assert found is not None
    refusal = judge(found, executable, dict.fromkeys(windows_of(found, executable), spent))
    return "" if refusal is None else f"{refusal.error}: {refusal.message}"


def test_the_functions_of_tokens_have_the_known_selectors():
    for name, types, selector in (
        ("transfer", "address,uint256", "a9059cbb"),
        ("approve", "address,uint256", "095ea7b3"),
        ("transferFrom", "address,address,uint256", "23b872dd"),
    ):
        assert keccak(f"{name}({types})".encode())[:4].hex() == selector
        assert selector_of(f"{name}({types})") == bytes.fromhex(selector)
    assert selector_of("function transfer(address to, uint256 amount)").hex() == "a9059cbb"
    assert selector_of("0xA9059CBB").hex() == "a9059cbb"
    for text in ("0xa9059c", "0x", "transfer", "transfer(adress)", "", "transfer(address"):
        with pytest.raises(ValueError, match=r"."):
            selector_of(text)


def test_without_a_policy_nothing_is_relayed():
    refusal = judge(None, call(), {})
    assert refusal is not None
    assert refusal.outcome().error_type == "policy_refused"
    assert "has no policy" in refusal.message
    # A newer revision without a policy allows nothing either.
    written = ExecutionPolicy.model_validate({"targets": [VAULT]})
    owner = Account.model_validate({"chainId": 1, "subAccountAddress": ME})
    assert execution_policy(written, owner, in_force=[None]) is None
    stricter = ExecutionPolicy.model_validate({"targets": [OTHER]})
    both = execution_policy(written, owner, in_force=[stricter])
    assert "in targets" in reason(both, call())


@pytest.mark.parametrize(
    ("fields", "executable", "wanted"),
    [
        ({}, call(), ""),
        ({}, call(VAULT.upper().replace("0X", "0x")), ""),
        ({}, call(OTHER), "does not have 0xcccc"),
        ({}, call(kind=1), "does not have delegatecall in callTypes"),
        ({"callTypes": ["call", "delegatecall"]}, call(kind=1), ""),
        ({}, call(value=1), "value 1 is over the limit 0 of one execution"),
        ({"maxValue": "5"}, call(value=5), ""),
        ({"maxValue": "5"}, call(value=6), "over the limit 5"),
        ({"maxValue": "5"}, call(value=1, data=b""), ""),
        ({"selectors": ["deposit()"]}, call(), ""),
        ({"selectors": ["0xd0e30db0"]}, call(), ""),
        ({"selectors": ["withdraw()"]}, call(), "does not have 0xd0e30db0 of"),
        ({"selectors": [{"selector": "deposit()", "target": VAULT}]}, call(), ""),
        ({"selectors": [{"selector": "deposit()", "target": TOKEN}]}, call(), "in selectors"),
        ({"selectors": ["deposit()"]}, call(data=b"\xd0"), "does not have 0xd0 of"),
        ({}, spending("transfer", 1), "has no limit in tokens for 0xbbbb"),
        ({}, spending("approve", 0), "has no limit in tokens"),
        ({}, call(TOKEN, bytes.fromhex("a9059cbb") + bytes(63)), "too short to have an amount"),
    ],
)
def test_a_call_is_allowed_only_if_the_policy_says_so(
    fields: dict[str, Any], executable: Executable, wanted: str
):
    found = reason(policy(**fields), executable)
    assert wanted in found
    assert bool(found) == bool(wanted)


@pytest.mark.parametrize("name", ["transfer", "approve", "transferFrom"])
def test_the_limits_of_a_token_count_in_each_function_that_spends_it(name: str):
    limits = {"maxPerExecution": "10", "maxPerWindow": "25"}
    found = policy(tokens={TOKEN: limits}, window="1h")
    assert reason(found, spending(name, 10), spent=15) == ""
    assert "amount of 0xbbbb" in reason(found, spending(name, 11))
    assert "after 16 in the last 1h" in reason(found, spending(name, 10), spent=16)
    assert "over the limit 10" in reason(found, spending(name, 2**256 - 1))
    # What is no spending function has to be named, or the limits would have a way around them.
    increase = call(TOKEN, bytes.fromhex("39509351") + bytes(64))
    assert "would have to name it in selectors" in reason(found, increase)
    named = {"selector": "increaseAllowance(address,uint256)", "target": TOKEN}
    assert reason(policy(tokens={TOKEN: limits}, window="1h", selectors=[named]), increase) == ""


def test_what_an_account_has_limits_its_tokens():
    tokens = {TOKEN: {"maxPerExecution": "1000", "decimals": 2}}
    limited = policy({"tokenLimits": {TOKEN: "0.055"}}, tokens=tokens)
    assert reason(limited, spending("transfer", 5)) == ""
    assert "tokenLimits of the account" in reason(limited, spending("transfer", 6))
    paid = policy({"tokenInputs": {TOKEN: "7"}}, tokens=tokens)
    assert "tokenInputs of the account" in reason(paid, spending("transfer", 8))
    unknown = policy({"tokenLimits": {TOKEN: "1"}}, tokens={TOKEN: {"maxPerExecution": "9"}})
    assert "decimals of 0xbbbb" in reason(unknown, spending("transfer", 1))
    assert limit_cap("0.000", None, TOKEN) == TokenCap(0)
    assert limit_cap("1" + 60 * "0" + ".1", 18, TOKEN).per_execution == 10**78 + 10**17


def test_gas_and_age_have_limits_also_without_a_word():
    found = policy()
    assert found is not None
    assert judge_gas(found, 3_000_000) is None
    too_much = judge_gas(found, 3_000_001)
    too_old = judge_age(found, NOW, NOW + timedelta(minutes=11))
    assert too_much is not None
    assert too_old is not None
    assert (too_much.error, too_old.error) == ("gas_cap", "expired")
    assert judge_age(found, NOW, NOW + timedelta(minutes=10)) is None
    assert judge_age(found, NOW + HOUR, NOW) is None  # the clock of another machine
    narrow = {"maxGas": 9_000_000, "timeToLive": "2h"}
    wider = policy({"policy": narrow})
    assert wider is not None
    assert (wider.max_gas, wider.time_to_live) == (3_000_000, timedelta(minutes=10))
    own = policy({"policy": {"maxGas": 50_000}}, maxGas=100_000, timeToLive="1m")
    assert own is not None
    assert (own.max_gas, own.time_to_live) == (50_000, timedelta(minutes=1))


_ADDRESSES = st.sampled_from([VAULT, TOKEN, OTHER])
_SELECTORS = st.sampled_from([DEPOSIT, bytes.fromhex("a9059cbb"), bytes.fromhex("39509351")])
_SMALL = st.integers(0, 6)
_CAPS = st.builds(TokenCap, st.none() | _SMALL, st.none() | _SMALL, st.sampled_from(["", "", "x"]))
_LAYERS = st.builds(
    PolicyLayer,
    st.just("p"),
    st.none() | st.frozensets(_ADDRESSES),
    st.none() | st.frozensets(st.tuples(st.none() | _ADDRESSES, _SELECTORS), max_size=4),
    st.none() | st.frozensets(st.integers(0, 1)),
    st.none() | _SMALL,
    st.none() | _SMALL,
    st.none() | st.just(HOUR),
    st.dictionaries(_ADDRESSES, _CAPS, max_size=2),
    st.none() | st.integers(1, 9_000_000),
    st.none() | st.timedeltas(timedelta(seconds=1), timedelta(hours=1)),
)
_CALLS = st.builds(
    lambda to, data, amount, value, kind: Executable(
        kind, to, value, data + bytes(32) + amount.to_bytes(32)
    ),
    _ADDRESSES,
    _SELECTORS,
    _SMALL,
    _SMALL,
    st.integers(0, 1),
)


@given(base=_LAYERS, extra=_LAYERS, executable=_CALLS, before=_SMALL, place=st.sampled_from([0, 1]))
def test_one_more_layer_never_allows_more(
    base: PolicyLayer, extra: PolicyLayer, executable: Executable, before: int, place: int
):
    alone = Policy((base,))
    more = Policy((base, extra)) if place == 0 else Policy((base,), (extra,))
    spent = dict.fromkeys(windows_of(more, executable), before)
    assert windows_of(alone, executable) <= windows_of(more, executable)
    if judge(more, executable, spent) is None:
        assert judge(alone, executable, spent) is None
    if place:
        assert more.max_gas <= alone.max_gas
        assert more.time_to_live <= alone.time_to_live
    assert more.max_gas <= max(alone.max_gas, 3_000_000)


@given(
    calls=st.lists(st.tuples(_CALLS, st.integers(0, 40), st.integers(0, 5)), max_size=12),
    most=_SMALL,
)
def test_no_window_is_ever_exceeded(calls: list[tuple[Executable, int, int]], most: int):
    """Whatever is asked, in whatever order, also the same request again."""
    cap = TokenCap(None, most)
    layer = PolicyLayer("p", frozenset({TOKEN, VAULT}), None, None, 6, most, HOUR, {TOKEN: cap})
    found, ledger = Policy((layer,)), MemorySpendLedger()
    kept: dict[str, tuple[datetime, dict[str, int]]] = {}
    now = NOW
    for executable, minutes, request in calls:
        now += timedelta(minutes=minutes)
        try:
            spend = Spend(f"request-{request}", "sub", spends_of(executable), now)
        except ValueError:
            continue
        refusal = asyncio.run(
            ledger.reserve(
                spend,
                windows_of(found, executable),
                lambda sums, executable=executable: judge(found, executable, sums),
            )
        )
        if refusal is None:
            kept.setdefault(spend.request_id, (now, dict(spend.amounts)))
        elif refusal is OTHER_SPEND:
            assert kept[spend.request_id][1] != spend.amounts
        for asset in (NATIVE, TOKEN):
            total = sum(amounts.get(asset, 0) for at, amounts in kept.values() if at > now - HOUR)
            assert total <= most
            sums = asyncio.run(ledger.spent("sub", [SpendWindow(asset, HOUR)], now))
            assert sums == {SpendWindow(asset, HOUR): total}


def test_a_sum_that_is_not_known_allows_nothing():
    found = policy(tokens={TOKEN: {"maxPerWindow": "9"}}, window="1h")
    with pytest.raises(KeyError):
        judge(found, spending("transfer", 1), {})
    assert found is not None
    bare = replace(found.definitions[0], max_value=None)
    refusal = judge(Policy((bare,)), call(value=1), {})
    assert refusal is not None
    assert "no maxValue" in refusal.message
