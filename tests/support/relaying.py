"""What tests of relayers share: a plugin on the local chain, triggers, and calls to relay."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eth_abi.abi import encode

from activityctl import wiring
from activityctl.adapters.keystore.key_stores import KeyStores
from activityctl.domain.chain.executable import Executable, ExecutionContext, sign_executable
from activityctl.domain.chain.field_set import FieldSet
from activityctl.domain.chain.hexadecimal import checksum_address, keccak
from activityctl.domain.chain.relaying import RelayTerms
from activityctl.domain.chain.signatures import address_of
from activityctl.executors.relays.passage import RelayPorts
from activityctl.executors.relays.relayer import Relayer
from activityctl.ports import ChainNodes, HookRow, RelayRequest, TransactionDraft
from support.anvil import Anvil
from support.engine import Engine
from support.unchecked_signer import AssigningLedger, UncheckedSigner

TO = "0xD1f745F0D14918a2C1E31153f2492891e4526ea4"
SPEC = {"tasks": [{"name": "one", "command": {"argv": ["true"]}}]}


async def triggers(ports: wiring.Ports, *keys: str) -> None:
    """Keep a trigger under each key; they are of one subscription."""
    mine = await Engine(ports).apply(SPEC)
    for key in keys:
        row = HookRow(key, mine.id, f"run-{key}", f"request-{key}", {}, datetime.now(UTC))
        await ports.hooks.begin(row)


def draft(key: str, number: int = 1, **fields: Any) -> TransactionDraft:
    values = {
        "relayer": "relayer-1",
        "chain_id": 31337,
        "to": TO,
        "data": b"\1\2",
        "gas": 50_000,
        "max_fee_wei": 100,
        "priority_fee_wei": 1,
        "chain_nonce": 0,
    }
    return TransactionDraft(key, number, **{**values, **fields})


_CODE = Path(__file__).parent / "contracts" / "TestPlugin.hex"
"""TestPlugin.sol by solc 0.8.28: optimizer with 1 run, evmVersion paris, no hash of metadata."""
EXECUTOR_KEY = bytes.fromhex("11" * 32)
EXECUTOR = address_of(EXECUTOR_KEY)


class Plugin:
    """The plugin of the tests on a local chain; it is also what is called."""

    def __init__(self, chain: Anvil) -> None:
        self.chain = chain
        data = "0x" + _CODE.read_text().strip()
        sent = chain.call("eth_sendTransaction", {"from": chain.account, "data": data})
        self.address = checksum_address(chain.receipt(sent)["contractAddress"])

    @property
    def total(self) -> int:
        data = call_data("total()")
        return int(self.chain.call("eth_call", {"to": self.address, "data": data}, "latest"), 16)

    def close(self, *, is_closed: bool = True, **fields: str) -> str:
        data = call_data("close(bool)", is_closed)
        sent = {"from": self.chain.account, "to": self.address, "data": data, "gas": hex(99_000)}
        return self.chain.call("eth_sendTransaction", {**sent, **fields})

    def signed(self, executable: Executable, account: str, nonce: int = 0) -> str:
        context = ExecutionContext(
            FieldSet.SDK_12, self.chain.chain_id, self.address, account, EXECUTOR, nonce
        )
        return sign_executable(executable, context, EXECUTOR_KEY)


def call_data(signature: str, *values: Any) -> str:
    """Return the data of a call, such as `add(uint256)`."""
    types = signature[signature.index("(") + 1 : -1]
    encoded = encode(types.split(",") if types else [], values)
    return "0x" + (keccak(signature.encode())[:4] + encoded).hex()


@dataclass
class OneChain:
    """Chains of which only one is known."""

    known: ChainNodes

    async def nodes(self, chain_id: int) -> ChainNodes:
        assert chain_id == self.known.chain_id
        return self.known


@dataclass
class Bench:
    """A relayer that works on the local chain, and calls to relay."""

    ports: wiring.Ports
    keys: KeyStores
    plugin: Plugin
    nodes: ChainNodes
    told: list[str] = field(default_factory=list)

    def relayer(self, ledger: Any = None) -> Relayer:
        """Return the relayer of another worker."""
        kept = ledger or AssigningLedger(self.ports)
        signer = UncheckedSigner(self.keys, kept)
        return Relayer(
            RelayPorts(OneChain(self.nodes), signer, kept),
            None,  # type: ignore[arg-type]  # no service
            poll_seconds=0.02,
        )

    def sender(self, name: str = "relayer-1") -> str:
        return self.keys.one(name).current.public

    def fund(self, *names: str, wei: int = 10**18) -> None:
        for name in names or ("relayer-1",):
            self.plugin.chain.call("anvil_setBalance", self.sender(name), hex(wei))

    def request(
        self,
        key: str,
        signature: str = "add(uint256)",
        *values: Any,
        account: str = TO,
        nonce: int = 0,
        seconds: float = 120.0,
        **terms: Any,
    ) -> RelayRequest:
        """Return the call of a trigger; it adds 1 to the total, if nothing else is said."""
        data = bytes.fromhex(call_data(signature, *(values or (1,)))[2:])
        executable = Executable(0, self.plugin.address, 0, data)
        chosen = {"relayers": ("relayer-1",), "confirmations": 0, **terms}
        return RelayRequest(
            f"request-{key}",
            "subscription",
            self.plugin.chain.chain_id,
            account,
            EXECUTOR,
            executable,
            self.plugin.signed(executable, account, nonce),
            key,
            seconds,
            RelayTerms(self.plugin.address, **chosen),
            tell=self._tell,
        )

    async def _tell(self, level: str, message: str, _metadata: Mapping[str, Any]) -> None:
        self.told.append(f"{level}: {message}")
