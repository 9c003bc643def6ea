"""The chain of the tests itself."""

import pytest


@pytest.mark.parametrize("count", [0, 3])
def test_a_contract_of_the_local_chain_writes_logs(chain, count):
    contract = chain.deploy_logger(count)
    topics = [f"0x{number:064x}" for number in range(1, count + 1)]
    sent = chain.send(contract, "0x" + "".join(topic[2:] for topic in topics) + "0102")
    (log,) = chain.receipt(sent)["logs"]
    assert (log["address"], log["data"], log["topics"]) == (contract, "0x0102", topics)


def test_what_a_test_does_to_the_chain_is_undone(shared_chain):
    assert shared_chain.height == 0
