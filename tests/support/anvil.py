"""A local EVM chain for the tests: `anvil`, installed once by npm into the user's cache.

Run as a program it installs anvil, so that a CI run fails early instead of skipping tests.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import platformdirs

VERSION: Final = "1.7.1"
REQUIRED: Final = "TESTS_REQUIRE_ANVIL"
"""When this variable is set, tests fail instead of being skipped without anvil."""
_STARTS_WITHIN: Final = 60.0
_MINES_WITHIN: Final = 60.0


class AnvilMissingError(Exception):
    """Anvil is not installed, and cannot be."""


def anvil_binary() -> Path:
    """Return the program; install it if this user's cache does not have it."""
    home = Path(platformdirs.user_cache_dir("activityctl-tests")) / f"anvil-{VERSION}"
    if not (found := list(home.glob("node_modules/@foundry-rs/anvil-*/bin/anvil"))):
        _install(home)
        found = list(home.glob("node_modules/@foundry-rs/anvil-*/bin/anvil"))
    if not found:
        raise AnvilMissingError("npm installed no anvil for this platform")
    return found[0]


def _install(home: Path) -> None:
    """Install into a folder of its own and rename it, because several tests may do so at once."""
    npm = shutil.which("npm")
    if npm is None:
        raise AnvilMissingError("anvil is not installed, because npm is not on this machine")
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as folder:
        options = ("--no-audit", "--no-fund", "--ignore-scripts", "--prefix", folder)
        words = [npm, "install", *options, f"@foundry-rs/anvil@{VERSION}"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode:
            raise AnvilMissingError(f"npm cannot install anvil: {done.stderr[-500:]}")
        with contextlib.suppress(OSError):  # another process was first
            Path(folder).rename(home)
            Path(folder).mkdir()


@dataclass
class Anvil:
    """A running chain, its accounts unlocked; it mines one block for each transaction."""

    url: str
    chain_id: int = 31337

    def call(self, method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url, body.encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    @property
    def height(self) -> int:
        return int(self.call("eth_blockNumber"), 16)

    @property
    def account(self) -> str:
        return self.call("eth_accounts")[0]

    def mine(self, blocks: int = 1) -> None:
        self.call("anvil_mine", hex(blocks))

    def deploy(self, code: str) -> str:
        """Create a contract with this code at run time, and return its address."""
        size = len(code) // 2
        # Copies all that follows these twelve bytes and returns it.
        creation = f"61{size:04x}80600c6000396000f3{code}"
        sent = self.call("eth_sendTransaction", {"from": self.account, "data": f"0x{creation}"})
        return self.receipt(sent)["contractAddress"]

    def deploy_logger(self, topics: int) -> str:
        """Create a contract whose input is the topics of a log, this many, and then its data."""
        start = 32 * topics
        size = f"60{start:02x}3603"
        copied = f"{size}60{start:02x}600037"
        loaded = "".join(f"60{32 * index:02x}35" for index in reversed(range(topics)))
        return self.deploy(f"{copied}{loaded}{size}6000{0xA0 + topics:02x}00")

    def send(self, to: str, data: str = "0x", *, until_mined: bool = True) -> str:
        """Send a transaction, wait until it is in a block, and return its hash."""
        fields = {"from": self.account, "to": to, "data": data, "gas": hex(500_000)}
        sent = self.call("eth_sendTransaction", fields)
        if until_mined:
            self.receipt(sent)
        return sent

    def receipt(self, transaction: str) -> Any:
        """Wait until the transaction is in a block, and return its receipt."""
        deadline = time.monotonic() + _MINES_WITHIN
        while True:
            found = self.call("eth_getTransactionReceipt", transaction)
            if found is not None or time.monotonic() > deadline:
                return found
            time.sleep(0.01)


@contextlib.contextmanager
def running_anvil(*options: str) -> Iterator[Anvil]:
    """Start a chain on a free port, and stop it after the block."""
    binary = anvil_binary()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    words = [str(binary), "--silent", "--host", "127.0.0.1", "--port", str(port), *options]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    chain = Anvil(f"http://127.0.0.1:{port}")
    try:
        _wait_until_it_answers(chain, process)
        yield chain
    finally:
        process.kill()
        process.wait()


def _wait_until_it_answers(chain: Anvil, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN
    while True:
        try:
            chain.call("eth_chainId")
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def is_required() -> bool:
    """Return whether tests fail without anvil, instead of being skipped."""
    return bool(os.environ.get(REQUIRED))


if __name__ == "__main__":
    anvil_binary()
