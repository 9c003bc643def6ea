"""An executor in Node, written from the text of the Builder Kit alone, works unchanged."""

import json
import re

from activityctl.domain.chain.config_signature import config_digest
from activityctl.domain.chain.signatures import address_of, sign_digest
from support.node_executor import node_executor

ACCOUNT = "0x8a17fe295bf517fbc148f565e5d6a2fe4f930cba"
MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: node-executor}
spec:
  params: {type: object, properties: {target: {type: string}}}
  triggers: [{name: tick, interval: {every: 700d}}]
  tasks:
    - name: ask
      webhook:
        baseURL: %s/%s
        registryID: 1fcc089a-9faf-40e9-9ec8-3e34d2f4614f
        executorAddress: "0xd1f745f0d14918a2c1e31153f2492891e4526ea4"
        hmacKey: node-hook
        policy:
          targets: ["0x4200000000000000000000000000000000000006"]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: node-base}
spec:
  activity: node-executor
  params: {target: "0x4200000000000000000000000000000000000006"}
"""
OF_ACCOUNT = f'  account: {{chainId: 8453, subAccountAddress: "{ACCOUNT}"}}\n'


def test_a_service_in_node_is_triggered_told_and_logged(shell):
    file = shell.folder / "node.yaml"
    file.write_text(MANIFEST % ("https://executor.example", "skip") + OF_ACCOUNT)
    planned = shell("plan", "-f", "node.yaml").stdout
    command = "activityctl keys create node-hook --kind hmac"
    assert f"    {command}  (definition/node-executor)" in planned
    made = shell("keys", "create", "node-hook", "--kind", "hmac").stdout
    (key,) = re.findall("hmacKey: ([0-9a-f]{64})", made)
    with node_executor(key) as node:
        wide = MANIFEST % (node.url, "skip") + OF_ACCOUNT.replace(
            "}", ', policy: {targets: ["%s"]}}'
        )
        file.write_text(wide % ACCOUNT)
        refused = shell("validate", "-f", "node.yaml", code=3).stderr
        assert re.search(r"node\.yaml:24:112: .*allows nothing more", refused)
        file.write_text(MANIFEST % (node.url, "skip"))
        assert "account is missing" in shell("validate", "-f", "node.yaml", code=3).stderr
        file.write_text(MANIFEST % (node.url, "skip") + OF_ACCOUNT)
        shell("apply", "-f", "node.yaml")
        shell("trigger", "node-base", "--trigger", "tick", "--wait")
        file.write_text(MANIFEST % (node.url, "task") + OF_ACCOUNT)
        shell("apply", "-f", "node.yaml")
        failed = shell("trigger", "node-base", "--wait", code=1).stdout
        assert "has no plugin" in failed
        first, second, executed = (json.loads(each["body"]) for each in node.seen())
    assert first["trigger"]["type"] == "INTERVAL"
    assert second["trigger"]["type"] == "MANUAL"
    assert second["context"]["prevExecutionID"] == first["requestID"]
    assert executed["error"]["type"] == "relayer_missing"
    lines = shell("logs", "node-base", "-o", "json").stdout
    assert key not in lines
    skipped, told = (entry for entry in json.loads(lines)["items"] if entry["message"] == "trigger")
    assert skipped["metadata"]["response"]["skip"] is True
    assert told["metadata"]["request"] == second
    assert told["metadata"]["postExecutionState"] == {"seen": 3, "successful": False}
    fields = {name: told[name] for name in ("subAccountAddress", "chainId", "outputTxHash")}
    assert fields == {
        "subAccountAddress": ACCOUNT,
        "chainId": 8453,
        "outputTxHash": "0x" + 64 * "0",
    }
    assert told["subId"] == told["subscriptionId"] == second["params"]["subscription"]["id"]
    exported = shell("export", "sub", "node-base").stdout
    assert ACCOUNT in exported


def test_an_executor_registers_itself_by_a_signed_request(shell):
    digest = config_digest("https://executor.com", verify_payload=True, action="CREATE")
    request = {
        "registryID": "1fcc089a-9faf-40e9-9ec8-3e34d2f4614f",
        "source": {"type": "INTERVAL", "value": 30},
        "destination": {"baseURL": "https://executor.com"},
        "verifyPayload": True,
        "relayerCount": 1,
        "signature": sign_digest(b"\x01" * 32, digest),
    }
    (shell.folder / "config.json").write_text(json.dumps(request))
    made = shell.json("executor", "register", "config.json")
    assert made["executorAddress"] == address_of(b"\x01" * 32)
    name = f"config-{made['id']}"
    assert made["hmacKey"] not in shell("keys", "list").stdout
    assert name in [each["name"] for each in shell.json("get", "sets")["items"]]
    exported = shell("export", "definition", name).stdout
    assert "every: 30m" in exported
    (shell.folder / "moved.yaml").write_text(exported)
    assert "No changes" in shell("plan", "-f", "moved.yaml", "--applyset", name).stdout
    assert name in shell("executor", "register", "config.json", code=5).stderr
    shell("executor", "register", "-", code=3, stdin=json.dumps({**request, "signature": "0x"}))
    shell("delete", "definition", name, "--yes")
