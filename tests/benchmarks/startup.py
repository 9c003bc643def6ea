"""Measure the first minute: installing, importing, starting commands, and `up` until ready.

    python tests/benchmarks/startup.py [--repeats 9] [--skip-install]

Prints the install's seconds, its share of the first README command, and MB of the largest ten
packages, without and with the test tools; import times of some commands; medians: CPU seconds of
`--help` and `version` (target 0.25), wall seconds of `get runs` (target 0.7), of the first line of
`up` (1), of a first `up -d` (10) and a later one (5). Uses temporary folders and pip's cache.
"""

import argparse
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import distributions
from pathlib import Path

COMMAND = str(Path(sys.executable).parent / "activityctl")
ROOT = Path(__file__).parents[2]
LARGEST = 10


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


def first_line(home: Path) -> float:
    """Return the seconds until `up -d` says what it does; the daemon runs afterwards."""
    environment = {**os.environ, "ACTIVITYCTL_HOME": str(home)}
    start = time.perf_counter()
    with subprocess.Popen(
        [COMMAND, "up", "-d"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        process.stderr.readline()
        seconds = time.perf_counter() - start
        process.stderr.read()
    return seconds


def install(folder: Path, extras: str) -> float:
    """Install the clone with these extras into a new environment, print its sizes."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    made = time.perf_counter()
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    subprocess.run(
        [*pip, "--disable-pip-version-check", f"{ROOT}[{extras}]"], check=True, capture_output=True
    )
    seconds = time.perf_counter() - start
    (packages,) = folder.glob("lib/python*/site-packages")
    sizes: Counter[str] = Counter()
    for distribution in distributions(path=[str(packages)]):
        for file in distribution.files or ():
            path = Path(str(file.locate()))
            if path.is_file():
                sizes[distribution.metadata["Name"]] += path.stat().st_size
    total = sum(sizes.values())
    print(
        f"install [{extras}]: {seconds:.1f} s, of which pip {seconds - made + start:.1f} s; "
        f"{len(sizes)} packages, {total / 1e6:.0f} MB"
    )
    for name, size in sizes.most_common(LARGEST):
        print(f"    {size / 1e6:6.1f} MB  {size / total:4.0%}  {name}")
    return seconds


def imports(*arguments: str) -> None:
    """Print the import time of a command, and the libraries that take most of it."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "activityctl", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    own: Counter[str] = Counter()
    for microseconds, module in re.findall(r"import time: +(\d+) \| +\d+ \| +(\S+)", done.stderr):
        own[module.partition(".")[0]] += int(microseconds)
    parts = ", ".join(f"{name} {value / 1e3:.0f}" for name, value in own.most_common(6))
    print(f"imports of {' '.join(arguments)}: {sum(own.values()) / 1e3:.0f} ms: {parts}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--skip-install", action="store_true", help="do not measure pip")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        installed = 0.0
        if not options.skip_install:
            installed = install(Path(folder) / "running", "embedded")
            install(Path(folder) / "testing", "embedded,dev")
        for arguments in (("--help",), ("get", "--help"), ("up", "--help"), ("worker", "--help")):
            imports(*arguments)
        first = timed(home, "up", "-d")[0]
        if installed:
            share = installed / (installed + first)
            print(f"first README command: {installed + first:.1f} s, the install is {share:.0%}")
        try:
            for arguments in (("--help",), ("version",)):
                timed(home, *arguments)
                cpu = [timed(home, *arguments)[1] for _ in range(options.repeats)]
                row(f"activityctl {arguments[0]}", cpu, "s CPU", 0.25)
            row(
                "activityctl get runs",
                [timed(home, "get", "runs")[0] for _ in range(options.repeats)],
                "s wall",
                0.7,
            )
            timed(home, "down")
            later, lines = [], []
            for _ in range(3):
                later.append(timed(home, "up", "-d")[0])
                timed(home, "down")
                lines.append(first_line(home))
                timed(home, "down")
        finally:
            subprocess.run([COMMAND, "--home", str(home), "down"], capture_output=True, check=False)
        row("up -d, first line", lines, "s wall", 1)
        row("up -d, first (initdb included)", [first], "s wall", 10)
        row("up -d, later", later, "s wall", 5)


if __name__ == "__main__":
    main()
