"""What the README automates an account with: a local chain, a contract, and an executor in Node.

Run as a program it writes `local-account.yaml` and `chain.url` into the working folder, and serves
until it is stopped: python tests/local_account.py hook.json signer.json relayer.json
The files are what `activityctl keys create -o json` prints for a key of each kind.
"""

import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from support.anvil import running_anvil
from support.node_executor import node_executor
from support.relaying import Plugin, call_data

_MANIFEST: Final = """\
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {{name: local-account}}
spec:
  triggers:
    - name: tick
      interval: {{every: 1h}}
  tasks:
    - name: add
      webhook:
        baseURL: {url}/task
        registryID: local
        executorAddress: "{executor}"
        hmacKey: {hook}
        autosign: {signer}
        plugin: "{plugin}"
        policy: {{targets: ["{plugin}"], selectors: ["add(uint256)"]}}
        relay: {{relayers: [{relayer}], confirmations: 0}}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {{name: local-account}}
spec:
  activity: local-account
  account:
    chainId: 31337
    subAccountAddress: "0x8a17fe295bf517fbc148f565e5d6a2fe4f930cba"
    metadata: {{target: "{plugin}", data: "{data}", executorSignature: "0x"}}
"""


def _key(path: str) -> Any:
    return json.loads(Path(path).read_text("utf-8"))


def serve(files: Sequence[str]) -> None:
    """Start everything, write the files, say so, and wait for a signal."""
    hook, signer, relayer = map(_key, files)
    with running_anvil() as chain, node_executor(hook["hmacKey"]) as node:
        plugin = Plugin(chain)
        chain.call("anvil_setBalance", relayer["address"], hex(10**18))
        manifest = _MANIFEST.format(
            url=node.url,
            executor=signer["address"],
            hook=hook["name"],
            signer=signer["name"],
            relayer=relayer["name"],
            plugin=plugin.address,
            data=call_data("add(uint256)", 7),
        )
        Path("local-account.yaml").write_text(manifest, "utf-8")
        Path("chain.url").write_text(chain.url, "utf-8")
        print(f"the chain is {chain.url}; wrote local-account.yaml and chain.url", flush=True)
        signal.pause()


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    serve(sys.argv[1:])
