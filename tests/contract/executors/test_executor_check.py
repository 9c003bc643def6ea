"""A conformance run finds what a service does wrong, and nothing in one that is right."""

from collections.abc import Iterator

import pytest

from activityctl import wiring
from activityctl.domain.chain.account import Account
from activityctl.domain.chain.conformance import Check, hearing, refusal
from activityctl.domain.chain.hook_signatures import SignatureProfile
from activityctl.operations.looking.executor_check import ExecutorCheck, ExecutorService
from support.node_executor import NodeExecutor, node_executor

KEY = "ed2cff7120f726311a0eb048c2d3af3ef3a411cc93bcf82883bc8988638dcae7"
ACCOUNT = "0x8a17fe295bf517fbc148f565e5d6a2fe4f930cba"
WETH = "0x4200000000000000000000000000000000000006"


@pytest.fixture(scope="module")
def node() -> Iterator[NodeExecutor]:
    with node_executor(KEY) as started:
        yield started


async def checks(url: str) -> dict[str, Check]:
    account = Account.model_validate({"chainId": 8453, "subAccountAddress": ACCOUNT})
    executor = "0xd1f745f0d14918a2c1e31153f2492891e4526ea4"
    tested = ExecutorService(
        url, KEY, account, executor, "test", {"target": WETH}, SignatureProfile.BOTH, True, 10.0
    )
    sender = wiring.unguarded_hook_client()
    try:
        return {check.name: check async for check in ExecutorCheck(sender, tested).checks()}
    finally:
        await sender.close()


async def test_a_service_from_the_text_passes(node: NodeExecutor):
    for mode in ("task", "skip", "deaf"):
        done = await checks(f"{node.url}/{mode}")
        assert {check.verdict for check in done.values()} == {"passed"}, done
    assert done["executed, failed"].message == "404: it does not want to be told"
    assert "executed, bad signature" not in done
    assert KEY not in str(done)


async def test_each_fault_is_named(node: NodeExecutor):
    forged = await checks(f"{node.url}/forged")
    assert forged["trigger"].message.startswith("signature_invalid: ")
    broken = await checks(f"{node.url}/broken")
    assert broken["executed, successful"].verdict == "failed"
    assert broken["executed, successful"].status == 500
    careless = await checks(f"{node.url}/careless")
    assert careless["repeated trigger"].verdict == "warning"
    assert careless["bad signature"].verdict == "failed"
    assert careless["missing signature"].verdict == "failed"
    gone = await checks("http://127.0.0.1:1")
    assert gone["trigger"].verdict == "failed"
    assert {check.verdict for name, check in gone.items() if name != "trigger"} == {"skipped"}


def test_a_server_error_is_no_refusal_and_another_status_is_no_hearing():
    assert [refusal(status, "x")[0] for status in (401, 404, 200, 503)] == [
        "passed",
        "passed",
        "failed",
        "warning",
    ]
    assert [hearing(status, has_log=False)[0] for status in (200, 404, 204, 500)] == [
        "passed",
        "passed",
        "failed",
        "failed",
    ]
