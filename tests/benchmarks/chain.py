"""How long the watcher takes to catch up with 10,000 blocks of a local chain.

Run as a program, with a database that has the current schema:
python tests/benchmarks/chain.py POSTGRES_URL [BLOCKS] [FILTERS]
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from activityctl import wiring
from activityctl.settings import Secret, Settings
from support.anvil import Anvil, running_anvil
from support.chain_watch import TRANSFER, Watched, transfer_input

LOGS = 500


async def measure(url: str, chain: Anvil, blocks: int, filters: int) -> None:
    """Print how long it takes to read the blocks, with a log in each tenth of them."""
    contract = chain.deploy_logger(3)
    settings = Settings(home=Path(tempfile.mkdtemp()), database_url=Secret(url))
    async with wiring.open_ports(settings, pool_size=4) as ports:
        watched = Watched(ports, chain.url)
        body = {"chainId": 31337, "address": contract, "abi": TRANSFER, "confirmations": 0}
        triggers = [
            {**body, "topics": [None, None, f"0x{number:064x}"]} for number in range(filters)
        ]
        await watched.apply(*triggers)
        await watched.watch()
        for number in range(LOGS):
            chain.send(contract, transfer_input(number, to=f"{number % filters:x}"))
            chain.mine(blocks // LOGS - 1)
        await asyncio.sleep(1)
        missing = blocks - chain.height
        if missing > 0:
            chain.mine(missing)
        started = time.perf_counter()
        while await watched.watcher.watch() == 0:
            pass
        read = time.perf_counter() - started
        await watched.router.route()
        routed = time.perf_counter() - started - read
        count = len(await watched.events())
        print(
            f"{chain.height:,} blocks, {filters:,} filters: {count:,} events, "
            f"read in {read:.2f} s, routed in {routed:.2f} s"
        )
        await watched.stack.aclose()


if __name__ == "__main__":
    wanted = [int(word) for word in sys.argv[2:]] or [10_000]
    with running_anvil() as local:
        asyncio.run(measure(sys.argv[1], local, wanted[0], wanted[1] if len(wanted) > 1 else 1_000))
