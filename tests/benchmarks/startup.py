"""Measure how long commands take to start, and how long `up` takes to be ready.

    python tests/benchmarks/startup.py [--repeats 9]

Prints medians: CPU seconds of `--help` and `version` (target 0.25), wall seconds of `get runs`
(target 0.7), of a first `up -d` (10) and a later one (5). Uses a temporary home.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMAND = str(Path(sys.executable).parent / "activityctl")


def timed(home: Path, *arguments: str) -> tuple[float, float]:
    """Return wall and CPU seconds of one call."""
    environment = {**os.environ, "ACTIVITYCTL_HOME": str(home)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run([COMMAND, *arguments], env=environment, capture_output=True, check=True)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def row(name: str, values: list[float], unit: str, target: float) -> None:
    print(f"{name}: {statistics.median(values):.2f} {unit} (target {target})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        first = timed(home, "up", "-d")[0]
        try:
            for arguments in (("--help",), ("version",)):
                timed(home, *arguments)
                cpu = [timed(home, *arguments)[1] for _ in range(repeats)]
                row(f"activityctl {arguments[0]}", cpu, "s CPU", 0.25)
            row(
                "activityctl get runs",
                [timed(home, "get", "runs")[0] for _ in range(repeats)],
                "s wall",
                0.7,
            )
            timed(home, "down")
            later = []
            for _ in range(3):
                later.append(timed(home, "up", "-d")[0])
                timed(home, "down")
        finally:
            subprocess.run([COMMAND, "--home", str(home), "down"], capture_output=True, check=False)
        row("up -d, first (initdb included)", [first], "s wall", 10)
        row("up -d, later", later, "s wall", 5)


if __name__ == "__main__":
    main()
