"""From an executor in Node to a transaction on a local chain, as a user sets it up."""

import json
import os
import re
import signal
import time

import pytest

from activityctl.daemon.local.state import read_state
from activityctl.domain.chain.executable import Executable
from support.node_executor import node_executor
from support.relaying import EXECUTOR, EXECUTOR_KEY, Plugin, call_data

ACCOUNT = "0x8a17fe295bf517fbc148f565e5d6a2fe4f930cba"
MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {{name: relayed-on-a-chain}}
spec:
  triggers: [{{name: tick, interval: {{every: 700d}}}}]
  tasks:
    - name: add
      webhook:
        baseURL: {url}/task
        registryID: registry-1
        executorAddress: "{executor}"
        hmacKey: relayed-hook
        plugin: "{plugin}"
        {autosign}
        policy: {{targets: ["{plugin}"], selectors: ["add(uint256)"]}}
        relay: {{relayers: [local-relayer], confirmations: 0}}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {{name: relayed-account}}
spec:
  activity: relayed-on-a-chain
  account:
    chainId: 31337
    subAccountAddress: "{account}"
    metadata: {{target: "{plugin}", data: "{data}", executorSignature: "{signature}"}}
"""


def kill_worker_after_broadcast(shell, chain, sender):
    """Trigger a run, and kill its worker with SIGKILL when its transaction waits for a block."""

    def nonce(block):
        return int(chain.call("eth_getTransactionCount", sender, block), 16)

    chain.call("evm_setAutomine", False)
    try:
        before = nonce("latest")
        run = shell("trigger", "relayed-account", "--no-wait", "-o", "name").stdout.strip()
        deadline = time.monotonic() + 90
        while nonce("pending") == before:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        ((waiting,),) = (each.values() for each in chain.call("txpool_content")["pending"].values())
        parts = {part.name: part.pid for part in read_state(shell.home).components}
        os.kill(parts["worker"], signal.SIGKILL)
        chain.mine()
    finally:
        chain.call("evm_setAutomine", True)
    shell("wait", run, "--timeout", "3m", timeout=200)
    assert nonce("pending") == before + 1
    assert chain.receipt(waiting["hash"])["status"] == "0x1"


def simulate(shell, node, plugin):
    """Ask the executor in a simulation: the call would succeed, and nothing happens."""
    height = plugin.chain.height
    found = json.loads(shell("simulate", "relayed-account", "--ask", "-o", "json").stdout)
    assert {check["verdict"] for check in found["checks"]} == {"passed"}
    names = [check["name"] for check in found["checks"]]
    assert names == ["response", "policy", "executor signature", "transaction"]
    (seen,) = node.seen()
    assert json.loads(seen["body"]) == found["request"]
    assert found["request"]["trigger"]["type"] == "INTERVAL"
    assert found["transaction"]["to"] == plugin.address
    assert found["transaction"]["gas"] > 21_000
    shown = shell("simulate", "relayed-account", "--offline").stdout
    assert "skipped  transaction: there is no call to judge" in shown
    assert len(node.seen()) == 1
    assert (plugin.total, plugin.chain.height) == (0, height)
    assert not shell.json("get", "runs", "--subscription", "relayed-account")["items"]


def trigger_and_simulate_again(shell):
    """Trigger a run; a simulation with its answer says that the signature was used."""
    run = json.loads(shell("trigger", "relayed-account", "--wait", "-o", "json").stdout)["id"]
    entries = json.loads(shell("logs", "relayed-account", "-o", "json").stdout)["items"]
    (entry,) = [entry for entry in entries if entry["message"] == "trigger"]
    (shell.folder / "answer.json").write_text(json.dumps(entry["metadata"]["response"]), "utf-8")
    past = ("--run", run, "--response", "answer.json")
    again = shell("simulate", "relayed-account", *past, code=1).stdout
    assert entry["metadata"]["requestID"] in again
    assert "passed   policy: allows" in again
    assert "signature is not valid" in again


@pytest.fixture
def known_chain(shell, chain):
    """The local chain's address on this machine, until the end of the test."""
    yield lambda: shell("secrets", "set", "chain-31337", stdin=chain.url)
    shell("delete", "subscription", "relayed-account", "--yes", code=None)
    shell("secrets", "remove", "chain-31337", "--yes", code=None)


def low_balance_and_replays(shell, chain, sender, plugin):
    """Look at the status while the relayer can hardly pay; a replay sends nothing by itself."""
    chain.call("anvil_setBalance", sender, hex(10**13))
    listed = shell.json("status")["lowRelayers"]  # also those of other tests
    (low,) = [each for each in listed if each["address"] == sender]
    assert low == {"address": sender, "chainId": 31337, "balance": "0.00001"}
    total = plugin.total
    run = shell.json("get", "runs", "-s", "relayed-account", "--status", "succeeded")["items"][0]
    told = shell("replay", run["id"], "--all-tasks", "--yes", code=1)
    assert "called again, sends no transaction" in told.stderr
    assert "replay it with --relay to send it" in told.stdout
    assert plugin.total == total


def test_a_call_of_an_executor_in_node_is_carried_out_on_a_chain(shell, chain, known_chain):
    plugin = Plugin(chain)
    data = call_data("add(uint256)", 7)
    call = Executable(0, plugin.address, 0, bytes.fromhex(data[2:]))
    file = shell.folder / "local.yaml"
    made = shell("keys", "create", "relayed-hook", "--kind", "hmac").stdout
    (key,) = re.findall("hmacKey: ([0-9a-f]{64})", made)
    with node_executor(key) as node:

        def apply(signature, autosign=""):
            values = {"url": node.url, "executor": EXECUTOR, "plugin": plugin.address}
            values |= {"account": ACCOUNT, "data": data, "signature": signature}
            file.write_text(MANIFEST.format(**values, autosign=autosign))
            shell("apply", "-f", "local.yaml")

        apply(plugin.signed(call, ACCOUNT))
        created = shell("keys", "create", "local-relayer", "--kind", "relayer").stdout
        (sender,) = re.findall("0x[0-9a-fA-F]{40}", created)
        known_chain()
        checks = json.loads(shell("doctor", "-o", "json", code=None).stdout)["checks"]
        (check,) = [check for check in checks if check["name"] == "relayers"]
        assert "local-relayer@31337: low balance" in check["found"]
        assert check["hint"] == f"send more of the currency of chain 31337 to {sender}"
        chain.call("anvil_setBalance", sender, hex(10**18))
        simulate(shell, node, plugin)
        trigger_and_simulate_again(shell)
        # The same signature again is for a nonce that was used.
        refused = shell("trigger", "relayed-account", "--wait", code=1).stdout
        assert "signature is not valid" in refused
        shell("keys", "import", "relayed-signer", "--kind", "executor", stdin=EXECUTOR_KEY.hex())
        apply("0x", "autosign: relayed-signer")
        shell("trigger", "relayed-account", "--wait")
        assert plugin.total == 14
        kill_worker_after_broadcast(shell, chain, sender)
        assert plugin.total == 21
        executed = [
            json.loads(each["body"]) for each in node.seen() if each["path"].endswith("/executed")
        ]
        (relayer,) = shell.json("get", "relayers", "local-relayer")["items"]
        low_balance_and_replays(shell, chain, sender, plugin)
    left = int(relayer.pop("balanceWei"))
    assert 0 < left < 10**18
    assert relayer.pop("balance").startswith("0.99")
    assert relayer == {
        "id": "local-relayer@31337",
        "name": "local-relayer",
        "address": sender,
        "chainId": 31337,
        "isLow": False,
        "nonce": 3,
        "chainNonce": 3,
        "pending": 0,
        "usedBy": ["definition/relayed-on-a-chain"],
        "problem": None,
    }
    good, bad, signed, late = (each["successful"] for each in executed)
    assert (good, bad, signed, late) == (True, False, True, True)
    response = executed[0]["relayResponse"]
    hashes = [each["relayResponse"]["outputTransactionHash"] for each in executed]
    receipt = chain.receipt(hashes[0])
    assert (receipt["from"], receipt["status"]) == (sender.lower(), "0x1")
    assert response["metadata"]["request"]["to"] == plugin.address
    entries = json.loads(shell("logs", "relayed-account", "-o", "json").stdout)["items"]
    *told, _of_replay = [entry for entry in entries if entry["message"] == "trigger"]
    assert [entry["outputTxHash"] for entry in told] == [
        hashes[0],
        "0x" + 64 * "0",
        hashes[2],
        hashes[3],
    ]
    assert any("is sent, with nonce 1" in entry["message"] for entry in entries)
    for secret in (key, EXECUTOR_KEY.hex()):
        assert secret not in json.dumps(entries)
