"""The chain of the tests itself, and whether our filters mean what those of its node mean."""

import random

import pytest

from activityctl.domain.chain.chain_log import ChainLog, read_log
from activityctl.domain.chain.log_filter import LogFilter, LogMatcher, union_of

TOPICS = [f"0x{number:064x}" for number in (1, 2, 3)]


@pytest.mark.parametrize("count", [0, 3])
def test_a_contract_of_the_local_chain_writes_logs(chain, count):
    contract = chain.deploy_logger(count)
    topics = [f"0x{number:064x}" for number in range(1, count + 1)]
    sent = chain.send(contract, "0x" + "".join(topic[2:] for topic in topics) + "0102")
    (log,) = chain.receipt(sent)["logs"]
    assert (log["address"], log["data"], log["topics"]) == (contract, "0x0102", topics)


def test_what_a_test_does_to_the_chain_is_undone(shared_chain):
    assert shared_chain.height == 0


def test_our_filters_match_what_the_filters_of_a_node_match(chain):
    """200 random filters with addresses, alternatives, null, and more places than topics."""
    chance = random.Random(16)
    counts = (0, 1, 2, 3, 4, 2)
    contracts = [chain.deploy_logger(count) for count in counts]
    start = chain.height + 1
    for _ in range(40):
        contract, count = chance.choice(list(zip(contracts, counts, strict=True)))
        chain.send(contract, "0x" + "".join(chance.choice(TOPICS)[2:] for _ in range(count)))

    def ask(wanted: LogFilter) -> list[ChainLog]:
        query = {"fromBlock": hex(start), "toBlock": "latest", **wanted.query()}
        return [read_log(log) for log in chain.call("eth_getLogs", query)]

    def a_filter() -> LogFilter:
        places = (
            frozenset(chance.sample(TOPICS, chance.choice((1, 2))))
            if chance.random() < 0.5
            else None
            for _ in range(chance.randrange(5))
        )
        return LogFilter(frozenset(chance.sample(contracts, chance.randrange(3))), tuple(places))

    everything = ask(LogFilter())
    assert len(everything) == 40
    filters = [a_filter() for _ in range(200)]
    matches = 0
    for each in filters:
        # This node takes a null at the end for nothing; others want a topic there, and so do we.
        told = [log for log in ask(each) if len(log.topics) >= len(each.topics)]
        matching = [log for log in everything if each.matches(log)]
        assert told == matching, each
        matches += len(matching)
    assert matches > 200
    for first in range(0, 200, 4):
        some = filters[first : first + 4]
        wanted = {log.place for log in everything if LogMatcher(some).matching(log)}
        assert wanted <= {log.place for log in ask(union_of(some))}, "one query asks for all"
