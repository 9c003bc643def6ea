"""Chain triggers as a user types them, with the real daemon and a local chain."""

import json
import time

from support.chain_watch import TRANSFER, transfer_input

MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {{name: on-chain}}
spec:
  triggers:
    - name: transfer
      chain:
        chainId: 31337
        address: "{address}"
        abi: {abi}
        filter: big.compare(event.data.args.value, "5") > 0
        confirmations: 1
  tasks:
    - name: note
      value: {{amount: "${{ event.data.args.value }}"}}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {{name: on-chain}}
spec: {{activity: on-chain}}
"""


CHAIN = 31337


def until(ask, holds, seconds=90):
    """Ask again and again until the answer is right, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        found = ask()
        if holds(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.3)


def the_chain(shell):
    chains = shell.json("status")["chains"]
    return next((each for each in chains if each["chainId"] == CHAIN), None)


def test_a_transfer_on_a_chain_starts_a_run_that_can_be_explained(shell, chain):
    contract = chain.deploy_logger(3)
    path = shell.folder / "on-chain.yaml"
    path.write_text(MANIFEST.format(address=contract, abi=TRANSFER), "utf-8")
    assert "chain-31337" in shell("plan", "-f", str(path), code=None).stdout
    shell("apply", "-f", str(path))
    try:
        missing = until(lambda: the_chain(shell), lambda found: found and found["error"])
        assert "chain-31337" in missing["error"]
        shell("secrets", "set", "chain-31337", stdin=f"{chain.url}/?key=my-token-abc")
        until(lambda: the_chain(shell), lambda found: found["readings"] and not found["error"])
        for value in (5, 6):
            chain.send(contract, transfer_input(value))
        chain.mine(2)
        runs = until(lambda: shell.json("get", "runs", "--subscription", "on-chain")["items"], len)
        shell("wait", f"run/{runs[0]['id']}")
        (run,) = shell.json("get", "runs", "--subscription", "on-chain")["items"]
        assert (run["trigger"], run["status"]) == ("transfer", "succeeded")
        blocks = ("--from-block", "0", "--to-block", str(chain.height))
        logs = shell.json("simulate", "on-chain", *blocks)["items"]
        assert [each["fires"] for each in logs] == [False, True]
        task = shell.json("describe", "run", run["id"])["tasks"][0]
        assert task["output"] == {"amount": "6"}
        listed = shell.json("get", "events", "--type", "chain.log")["items"]
        found = [shell.json("describe", "event", each["uid"])["event"] for each in listed]
        large, small = sorted(found, key=lambda event: event["data"]["args"]["value"])[::-1]
        assert "filter is false" in shell("explain", "event", small["id"]).stdout
        assert run["id"][:8] in shell("describe", "event", large["id"]).stdout
        status = shell("status").stdout
        assert f"chain 31337 (1 trigger): block {chain.height}" in status
        (listed,) = [
            each for each in shell.json("get", "chains")["items"] if each["chainId"] == CHAIN
        ]
        host = chain.url.removeprefix("http://")
        assert listed["nodes"] == [{"name": host, "fault": None}]
        assert [each["subscription"] for each in listed["filters"]] == ["on-chain"]
        assert "1 of 1" in shell("get", "chains").stdout
        assert host in shell("describe", "chain", "31337").stdout
        note = "trigger transfer fires by logs of chain 31337, after 1 confirmation"
        assert f"{note}; read up to block" in shell("next", "on-chain").stderr
        assert note in shell("next", "-f", str(path)).stderr
        assert f"{note}; read up to block" in shell("describe", "sub", "on-chain").stdout
        forged = json.dumps({**large, "id": "forged"})
        done = shell("emit", "-", code=None, stdin=forged)
        assert done.returncode != 0
        assert "chainfeed: is reserved" in done.stdout + done.stderr
        everything = status + shell("get", "events").stdout + shell("logs", "on-chain").stdout
        assert "my-token" not in everything
    finally:
        shell("delete", "subscription", "on-chain", "--yes", code=None)
        shell("secrets", "remove", "chain-31337", "--yes", code=None)
