"""kill -9 of the watcher of chains: no log is lost, and none starts a second run."""

import asyncio
import functools
import os
import random
import signal
import sys
from pathlib import Path

from activityctl import wiring
from support.anvil import Anvil
from support.chain_watch import TRANSFER, Watched, transfer_input
from support.drilled import seed

TESTS = Path(__file__).parents[1]
PROGRAM = """
import asyncio, pathlib, sys
from activityctl import wiring
from activityctl.settings import Secret, Settings
from support.chain_watch import Watched

async def watch(home, database, node):
    settings = Settings(home=pathlib.Path(home), database_url=Secret(database))
    async with wiring.open_ports(settings, pool_size=4) as ports:
        watched = Watched(ports, node)
        while True:
            await watched.watcher.watch()
            await watched.router.route()

asyncio.run(watch(*sys.argv[1:]))
"""
KILLS = 2
LOGS = 30


async def test_a_watcher_that_is_killed_loses_no_log_and_repeats_none(
    ports: wiring.Ports, chain: Anvil, database_url: str, tmp_path: Path
):
    chance = random.Random(seed())
    contract = chain.deploy_logger(3)
    watched = Watched(ports, chain.url)
    await watched.apply(
        {"chainId": 31337, "address": contract, "abi": TRANSFER, "confirmations": 0}
    )
    await watched.watch()
    value = 0
    for _ in range(KILLS):
        before = chain.height
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            PROGRAM,
            str(tmp_path),
            database_url,
            chain.url,
            env={**os.environ, "PYTHONPATH": str(TESTS)},
        )
        for _ in range(LOGS):
            value += 1
            await asyncio.to_thread(chain.send, contract, transfer_input(value))
        async with asyncio.timeout(120):
            while not await watched.is_read_up_to(before + 1):
                assert process.returncode is None
                await asyncio.sleep(0.01)
        await asyncio.sleep(chance.uniform(0, 0.1))
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()
        chain.mine(chance.randrange(40))
    watched.restart()
    await watched.watch_until(functools.partial(watched.is_read_up_to, chain.height))
    expected = sorted(("t0", str(number)) for number in range(1, value + 1))
    assert await watched.firings() == expected
    assert len(await watched.events()) == value
