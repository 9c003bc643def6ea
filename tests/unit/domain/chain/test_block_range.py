import pytest
from hypothesis import given
from hypothesis import strategies as st

from activityctl.domain.chain.block_range import next_size, smaller_size
from activityctl.domain.chain.node_answer import AnswerFault, fault_of

_ALCHEMY = (
    "Log response size exceeded. You can make eth_getLogs requests with up to a 2K block range. "
    "Based on your parameters, this block range should work: [0x64, 0x95]"
)
_FREE = "Under the Free tier plan, you can make eth_getLogs requests with up to a 10 block range."
_CLOUDFLARE = "Invalid eth_getLogs request. range too large. Max range: 800"
_INFURA = "query returned more than 10000 results. Try with this block range [0x64, 0xc7]."
TOO_WIDE = [
    (-32005, _INFURA, 100),
    (-32602, _ALCHEMY, 50),
    (-32600, _FREE, 10),
    (-32614, "eth_getLogs is limited to a 1,000 range", 1_000),
    (-32602, "query exceeds max results 20000, retry with the range 100-163", 64),
    (-32602, "query exceeds max block range 900", 900),
    (-32000, "exceed maximum block range: 500", 500),
    (35, "ranges over 800 blocks are not supported on freetier", 800),
    (-32047, _CLOUDFLARE, 800),
    (-32005, "limit exceeded", 1_000),
    (-32000, "query timeout exceeded", 1_000),
    (-32600, "block range is too wide", 1_000),
    (-32008, "Response is too big", 1_000),
]


@pytest.mark.parametrize(("code", "message", "size"), TOO_WIDE)
def test_the_answers_of_known_providers_make_the_range_smaller(code, message, size):
    assert fault_of("eth_getLogs", code, message) is AnswerFault.TOO_WIDE
    assert smaller_size(2_000, 100, message) == size


@pytest.mark.parametrize(
    ("code", "message", "fault"),
    [
        (-32005, "daily request count exceeded, request rate limited", AnswerFault.TOO_OFTEN),
        (429, "Your app has exceeded its compute units per second capacity", AnswerFault.TOO_OFTEN),
        (-32000, "header not found", AnswerFault.NOT_THERE),
        (-32001, "Unknown block", AnswerFault.NOT_THERE),
        (3, "execution reverted", AnswerFault.REVERTED),
        (-32601, "the method does not exist", AnswerFault.REFUSED),
    ],
)
def test_other_errors_keep_their_meaning(code, message, fault):
    assert fault_of("eth_getLogs", code, message) is fault


@given(st.integers(2, 50_000), st.integers(0, 10**8), st.sampled_from(TOO_WIDE))
def test_the_next_query_is_always_smaller(size, first, answer):
    assert 1 <= smaller_size(size, first, answer[1]) < size


def test_a_range_grows_while_answers_are_small_and_shrinks_when_they_are_large():
    assert next_size(2_000, 3) == 4_000
    assert next_size(2_000, 600) == 2_000
    assert next_size(2_000, 5_000) == 1_000
    assert next_size(20_000, 0) == 20_000
