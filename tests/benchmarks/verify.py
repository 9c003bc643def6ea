"""Replays 500 recorded histories with the installed code, as `verify` does, and prints the time.

python tests/benchmarks/verify.py [--count 500]
"""

import argparse
import asyncio
import itertools
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from activityctl import wiring
from activityctl.operations.runs.verify import history_files, verify
from activityctl.settings import Settings

RECORDED = Path(__file__).parent.parent / "histories"


async def in_process(folder: Path) -> float:
    start = time.perf_counter()
    histories = wiring.build_histories(Settings(home=folder))
    verified = await verify(histories.verify_files(history_files([folder])), lambda *_: None)
    assert all(history.fits for history in verified)
    return time.perf_counter() - start


def command(folder: Path) -> float:
    start = time.perf_counter()
    program = Path(sys.executable).parent / "activityctl"
    subprocess.run([program, "verify", str(folder), "--limit", "100000"], check=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = itertools.cycle(sorted(RECORDED.glob("*.json")))
        events = 0
        for number, file in zip(range(count), files, strict=False):
            shutil.copy(file, folder / f"{number:05}.json")
            events += file.read_text("utf-8").count('"eventId"')
        cpu = time.process_time()
        wall = asyncio.run(in_process(folder))
        cpu = time.process_time() - cpu
        print(f"{count} histories, {events / count:.0f} events each")
        print(f"in process: {wall:.2f} s wall, {cpu:.2f} s CPU, {cpu / count * 1000:.1f} ms each")
        print(f"the command: {command(folder):.2f} s wall")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
