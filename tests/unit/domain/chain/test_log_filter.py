from hypothesis import given
from hypothesis import strategies as st

from activityctl.domain.chain.chain_log import ChainLog
from activityctl.domain.chain.log_filter import MOST_IN_QUERY, LogFilter, LogMatcher, union_of

WORD = "0x" + "11" * 32
ADDRESSES = ["0x" + f"{number:02x}" * 20 for number in range(3)]
TOPICS = ["0x" + f"{number:02x}" * 32 for number in range(3)]

filters = st.builds(
    LogFilter,
    st.frozensets(st.sampled_from(ADDRESSES), max_size=2),
    st.lists(
        st.none() | st.frozensets(st.sampled_from(TOPICS), min_size=1, max_size=2), max_size=4
    ).map(tuple),
)
logs = st.builds(
    lambda address, topics: ChainLog(address, tuple(topics), "0x", 1, WORD, WORD, 0, 0),
    st.sampled_from(ADDRESSES),
    st.lists(st.sampled_from(TOPICS), max_size=4),
)


def a_log(*topics: str) -> ChainLog:
    return ChainLog(ADDRESSES[0], topics, "0x", 1, WORD, WORD, 0, 0)


def test_a_place_without_a_topic_still_needs_one():
    assert not LogFilter(topics=(None,)).matches(a_log())
    assert LogFilter(topics=(None,)).matches(a_log(TOPICS[0], TOPICS[1]))


@given(st.lists(filters, min_size=1, max_size=6), logs)
def test_one_query_finds_all_that_any_filter_wants(many, log):
    wanted = [number for number, each in enumerate(many) if each.matches(log)]
    if wanted:
        assert union_of(many).matches(log)
    assert LogMatcher(many).matching(log) == wanted


def test_a_query_with_too_many_addresses_asks_for_any():
    address = [f"0x{number:040x}" for number in range(MOST_IN_QUERY + 1)]
    many = [LogFilter(frozenset({each}), (frozenset({TOPICS[0]}),)) for each in address]
    assert len(union_of(many[1:]).query()["address"]) == MOST_IN_QUERY
    assert union_of(many).query() == {"topics": [[TOPICS[0]]]}
