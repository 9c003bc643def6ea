"""From the log of a contract to its firing: a real chain, the real Postgres, the watcher."""

from activityctl.domain.chain.trigger import LOG_TYPE, REMOVED_TYPE
from activityctl.domain.values.log import LogFilter
from support.chain_watch import ALICE, BOB, TRANSFER, transfer_input

NOW = {"chainId": 31337, "abi": TRANSFER, "confirmations": 0}


async def test_a_log_becomes_an_event_with_named_values_and_fires_once(chain, watched):
    contract = chain.deploy_logger(3)
    chain.send(contract, transfer_input(1))  # before the trigger
    await watched.apply(
        {**NOW, "address": contract, "filter": 'big.compare(event.data.args.value, "5") > 0'}
    )
    await watched.watch()
    for value in (2, 2**200):
        sent = chain.send(contract, transfer_input(value))
    receipt = chain.receipt(sent)
    await watched.watch()
    watched.restart()
    await watched.watch()
    first, second = await watched.events()
    assert first["data"]["args"]["value"] == "2"
    block = chain.call("eth_getBlockByHash", receipt["blockHash"], False)
    assert second["id"].startswith(f"{receipt['blockHash']}/{sent}/0/")
    assert (second["source"], second["type"]) == ("eip155:31337", LOG_TYPE)
    assert second["subject"] == contract
    assert second["data"] | {"topics": 0, "topic0": 0, "topic1": 0, "topic2": 0, "data": 0} == {
        "chainId": 31337,
        "address": contract,
        "blockNumber": int(receipt["blockNumber"], 16),
        "blockHash": receipt["blockHash"],
        "transactionHash": sent,
        "transactionIndex": 0,
        "logIndex": 0,
        "removed": False,
        "event": "Transfer",
        "args": {"from": f"0x{ALICE}", "to": f"0x{BOB}", "value": str(2**200)},
        **dict.fromkeys(("topics", "topic0", "topic1", "topic2", "data"), 0),
    }
    assert int(block["timestamp"], 16) > 0
    assert await watched.firings() == [("t0", str(2**200))]


async def test_a_thousand_filters_cost_one_query_and_each_gets_its_own_logs(chain, watched):
    contract = chain.deploy_logger(3)
    topics = [None, None]
    triggers = [
        {**NOW, "address": contract, "topics": [*topics, f"0x{number:064x}"]}
        for number in range(1, 1_001)
    ]
    await watched.apply(*triggers)
    await watched.watch()
    for number in (7, 999, 5_000):
        chain.send(contract, transfer_input(number, to=f"{number:x}"))
    chain.mine(30)
    node = (await watched.nodes(31337))._known[0].node
    calls = []
    original = node.call

    async def counted(method, *params):
        calls.append(method)
        return await original(method, *params)

    node.call = counted
    await watched.watch()
    assert await watched.firings() == [("t6", "7"), ("t998", "999")]
    assert calls.count("eth_getLogs") < 20, "one for a range, then one a block"


async def test_a_trigger_that_waits_for_confirmations_sees_only_what_stays(chain, watched):
    contract = chain.deploy_logger(3)
    await watched.apply(
        {**NOW, "address": contract}, {**NOW, "address": contract, "confirmations": 3}
    )
    await watched.watch()
    fork = chain.call("evm_snapshot")
    chain.send(contract, transfer_input(1))
    chain.mine()
    await watched.watch()
    assert await watched.firings() == [("t0", "1")]
    chain.call("evm_revert", fork)
    chain.call("evm_increaseTime", 100)
    chain.send(contract, transfer_input(2))
    chain.mine(5)
    await watched.watch()
    assert await watched.firings() == [("t0", "1"), ("t0", "2"), ("t1", "2")]
    gone = [each for each in await watched.events() if each["type"] == REMOVED_TYPE]
    assert [each["data"]["args"]["value"] for each in gone] == ["1"]
    assert gone[0]["data"]["removed"] is True
    owner = await watched.ports.catalog.find_subscription("mine")
    wanted = LogFilter((owner.id,))
    cursor = await watched.ports.logbook.tail(wanted, 10)
    entries, _ = await watched.ports.logbook.page(wanted, cursor, limit=10)
    assert any("is no longer in chain 31337" in entry.message for entry in entries)


async def test_blocks_of_the_past_and_of_a_downtime_are_caught_up(chain, watched):
    contract = chain.deploy_logger(3)
    start = chain.height
    for value in (1, 2):
        chain.send(contract, transfer_input(value))
    chain.mine(150)
    past = {**NOW, "address": contract, "fromBlock": start + 2}
    await watched.apply(past, {**NOW, "address": contract})
    await watched.watch()
    assert await watched.firings() == [("t0", "2")]
    chain.send(contract, transfer_input(3))
    chain.mine(150)
    chain.send(contract, transfer_input(4))
    watched.restart()
    await watched.watch()
    expected = [("t0", "2"), ("t0", "3"), ("t0", "4"), ("t1", "3"), ("t1", "4")]
    assert await watched.firings() == expected
    (summary,) = await watched.ports.chains.summary()
    assert (summary.triggers, summary.head) == (2, chain.height)
