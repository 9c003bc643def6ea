"""What is done next about a transaction, what it pays, and which relayer sends it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activityctl.domain.chain.broadcast import BroadcastAnswer, meaning_of
from activityctl.domain.chain.fees import Fees, Market, first_fees, gas_limit, higher_fees, is_low
from activityctl.domain.chain.relaying import (
    Candidate,
    ChainView,
    Ended,
    Included,
    Receipt,
    RelayState,
    RelayTerms,
    RelayTransaction,
    Replace,
    Resend,
    TakenBack,
    Wait,
    choose_relayer,
    next_step,
)
from activityctl.domain.chain.revert_reason import revert_reason

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(seconds=59)
STUCK = NOW + timedelta(seconds=60)
TERMS = RelayTerms("0xplugin", ("relayer-1",), confirmations=2)
SENT = RelayTransaction(
    "hook", 1, 1, "relayer-1", "0xsender", 7, "0xplugin", "0x", 1, 10, 1, "0xa", "0xraw",
    RelayState.SENT, NOW, NOW,
)  # fmt: skip
SECOND = replace(SENT, number=2, hash="0xb")
SIGNED = replace(SENT, state=RelayState.SIGNED, sent_at=None)
INCLUDED = replace(SENT, state=RelayState.INCLUDED, block_number=100, block_hash="0x1")
VIEW = ChainView(100, 7, 7, {}, is_known=True)
GOOD = Receipt(100, "0x1", is_successful=True)
BAD = Receipt(100, "0x1", is_successful=False)


@pytest.mark.parametrize(
    ("versions", "view", "now", "expected"),
    [
        pytest.param([SIGNED], VIEW, NOW, Resend(SIGNED), id="signed, perhaps never sent"),
        pytest.param([SENT], VIEW, LATER, Wait(), id="in the mempool"),
        pytest.param([SENT], replace(VIEW, is_known=False), NOW, Resend(SENT), id="dropped"),
        pytest.param([SENT], VIEW, STUCK, Replace(SENT), id="stuck"),
        pytest.param([SENT], replace(VIEW, nonce=6), STUCK, Wait(), id="behind another"),
        pytest.param(
            [SENT],
            replace(VIEW, receipts={"0xa": GOOD}),
            NOW,
            Included(SENT, GOOD),
            id="in a block",
        ),
        pytest.param(
            [SENT, SECOND],
            replace(VIEW, head=102, receipts={"0xa": GOOD}),
            STUCK,
            Ended(SENT, RelayState.CONFIRMED, GOOD),
            id="the first one wins although it was replaced",
        ),
        pytest.param(
            [SENT],
            replace(VIEW, head=102, receipts={"0xa": BAD}),
            NOW,
            Ended(SENT, RelayState.REVERTED, BAD),
            id="reverted",
        ),
        pytest.param([INCLUDED], VIEW, STUCK, TakenBack(INCLUDED), id="taken back"),
        pytest.param([INCLUDED], replace(VIEW, head=99), STUCK, Wait(), id="the node lags"),
        pytest.param([SENT], replace(VIEW, nonce=8), STUCK, Wait(), id="nonce used just now"),
        pytest.param(
            [SENT],
            replace(VIEW, nonce=8, settled_nonce=8),
            STUCK,
            Ended(SENT, RelayState.LOST),
            id="nonce used by another",
        ),
    ],
)
def test_the_next_step(versions, view, now, expected):
    assert next_step(versions, view, TERMS, now) == expected


def test_fees_hold_while_the_base_fee_doubles_and_stay_below_the_cap():
    market = Market(100, 3)
    assert first_fees(market, None) == Fees(203, 3)
    assert first_fees(market, 150) == Fees(150, 3)
    assert first_fees(market, 99) is None
    assert higher_fees(Fees(203, 3), market, None) == Fees(224, 4)
    assert higher_fees(Fees(203, 3), Market(500, 9), None) == Fees(1009, 9)
    assert higher_fees(Fees(203, 3), Market(500, 9), 300) == Fees(300, 9)
    assert higher_fees(Fees(203, 3), market, 223) is None


@given(
    st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 10**12)
)
def test_a_replacement_pays_a_tenth_more_of_both_fees(fee: int, part: int, base: int, tip: int):
    former = Fees(max(fee, part), part)
    found = higher_fees(former, Market(base, tip), None)
    assert found is not None
    assert found.max_fee_wei > former.max_fee_wei
    assert 100 * found.max_fee_wei >= 110 * former.max_fee_wei
    assert found.priority_fee_wei > former.priority_fee_wei
    assert 100 * found.priority_fee_wei >= 110 * former.priority_fee_wei
    assert found.max_fee_wei >= found.priority_fee_wei


def test_the_relayer_with_the_least_to_do_that_can_pay_is_chosen():
    poor, busy = Candidate("a", "0xa", 0, 9), Candidate("b", "0xb", 2, 100)
    idle, other = Candidate("c", "0xc", 1, 10), Candidate("d", "0xd", 1, 10)
    assert choose_relayer([poor, busy, idle, other], 10) == idle
    assert choose_relayer([poor], 10) is None
    assert gas_limit(100_000) == 125_000
    assert is_low(10 * 100 * 5 - 1, 100, 5)
    assert not is_low(10 * 100 * 5, 100, 5)


@pytest.mark.parametrize(
    ("data", "message", "expected"),
    [
        (
            "0x08c379a0" + f"{32:064x}{5:064x}" + b"stale".hex().ljust(64, "0"),
            "execution reverted: stale",
            "stale",
        ),
        ("0x4e487b71" + f"{0x11:064x}", "", "panic 0x11: a number is out of range"),
        ("0x4e487b71" + f"{0x77:064x}", "", "panic 0x77: unknown code"),
        ("0x8baa579f", "execution reverted", "custom error 0x8baa579f"),
        ("0x08c379a0" + "00" * 8, "", "custom error 0x08c379a0" + "00" * 8),
        (None, "execution reverted", "the contract gives no reason"),
        ("0x", "execution reverted: out of luck", "out of luck"),
    ],
)
def test_the_reason_of_a_revert(data: str | None, message: str, expected: str):
    assert revert_reason(data, message) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("already known", BroadcastAnswer.KNOWN),
        ("transaction already imported", BroadcastAnswer.KNOWN),
        ("nonce too low: next nonce 4, tx nonce 3", BroadcastAnswer.NONCE_USED),
        ("replacement transaction underpriced", BroadcastAnswer.UNDERPRICED),
        ("max fee per gas less than block base fee", BroadcastAnswer.UNDERPRICED),
        ("insufficient funds for gas * price + value", BroadcastAnswer.NO_FUNDS),
        ("Insufficient funds for gas * price + value", BroadcastAnswer.NO_FUNDS),
        ("exceeds block gas limit", BroadcastAnswer.REFUSED),
    ],
)
def test_what_nodes_mean_when_they_refuse_a_transaction(message: str, expected: BroadcastAnswer):
    assert meaning_of(message) is expected
