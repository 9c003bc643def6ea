"""Measure one-task runs beside the peer DBOS on the same Postgres, in turns.

    python -m venv /tmp/peer && /tmp/peer/bin/pip install dbos
    python tests/benchmarks/peer.py --peer-python /tmp/peer/bin/python [--runs 500] [--rounds 3]

DBOS has its own virtual environment, because activityctl does not need it, and its own schema.
Each job of it is a durable workflow with one step that does nothing: by its queue, looked at every
50 ms, and in the process that asks for it, one after another. Ours are runs with one task
(`command: true`, which starts a process; `--task http` asks the server for its health). Prints the
medians of the rates and of the CPU time of each process, and the ratios to ours.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import time
from pathlib import Path

from bed import carry_out, processes, worker_of
from runs import BODIES, our_round, prepared

from activityctl import wiring
from activityctl.settings import load_settings

KINDS = ("queue", "process")


class Peer:
    """The running peer program."""

    def __init__(self, python: str, url: str) -> None:
        program = Path(__file__).with_name("peer_dbos.py")
        self._process = subprocess.Popen(
            [python, str(program), url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()

    def carry_out(self, kind: str, count: int) -> tuple[float, float]:
        """Do so many jobs; return the seconds, and the CPU seconds of the peer's process."""
        assert self._process.stdin
        self._process.stdin.write(f"{kind} {count}\n")
        self._process.stdin.flush()
        answer = self._answer()
        return answer["seconds"], answer["cpu"]

    def close(self) -> None:
        """End the program."""
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout
        while line := self._process.stdout.readline():
            if line.startswith("{"):
                return dict(json.loads(line))
        raise SystemExit("the peer has ended")


async def measure(home: Path, options: argparse.Namespace) -> None:
    """Let each side do its runs in turns, and print the table."""
    settings = load_settings({"home": home}, dict(os.environ))
    url = settings.required_database_url()
    rates: dict[str, list[float]] = {}
    cpu: dict[str, list[dict[str, float]]] = {}
    async with (
        wiring.open_ports(settings, pool_size=4) as ports,
        worker_of(home, ports) as worker,
    ):
        subscription = await prepared(ports, options.task)
        peer = Peer(options.peer_python, str(url))
        try:
            for number in range(options.rounds + 1):
                count = options.runs if number else 50  # the first round warms up
                for side in ("activityctl", *KINDS):
                    before, start = processes(home, worker), time.perf_counter()
                    used = 0.0
                    if side == "activityctl":
                        await our_round(ports, subscription, count)
                    else:
                        _, used = await asyncio.to_thread(peer.carry_out, side, count)
                    seconds = time.perf_counter() - start
                    after = processes(home, worker)
                    parts = {name: after[name] - before[name] for name in after} | {"peer": used}
                    if number:
                        rates.setdefault(side, []).append(count / seconds)
                        cpu.setdefault(side, []).append(
                            {name: value / count * 1000 for name, value in parts.items()}
                        )
        finally:
            peer.close()
    report(rates, cpu)


def report(rates: dict[str, list[float]], cpu: dict[str, list[dict[str, float]]]) -> None:
    """Print a line for each side."""
    print(f"load {os.getloadavg()[0]:.1f}; runs a second, then ms of CPU for each run")
    names = [*next(iter(cpu.values()))[0]]
    print(f"{'':13}{'rate':>7}{'ratio':>7}" + "".join(f"{name:>11}" for name in names) + "  in all")
    for side, found in rates.items():
        ratio = statistics.median(
            ours / theirs for ours, theirs in zip(rates["activityctl"], found, strict=True)
        )
        each = [statistics.median(parts[name] for parts in cpu[side]) for name in names]
        whole = sum(each)
        figures = "".join(f"{value:11.1f}" for value in each)
        print(f"{side:13}{statistics.median(found):7.0f}{ratio:7.2f}{figures}{whole:8.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--task", choices=sorted(BODIES), default="command")
    carry_out(measure, parser)
