"""The section "Automate an account" of the README, from zero to a transaction on a local chain."""

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from activityctl.adapters.chain.access import READ_EVERY

ROOT = Path(__file__).parents[2]


def commands() -> list[str]:
    text = (ROOT / "README.md").read_text("utf-8")
    section = text.partition("\n## Automate an account\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@contextmanager
def serving(words: list[str], folder: Path) -> Iterator[None]:
    """Run the program until the end of the block; it has printed a line at the beginning."""
    program = [sys.executable, str(ROOT / words[1]), *words[2:]]
    with subprocess.Popen(program, cwd=folder, stdout=subprocess.PIPE, env=os.environ) as process:
        try:
            assert process.stdout is not None
            assert b"wrote local-account.yaml" in process.stdout.readline()
            yield
        finally:
            process.terminate()


def test_the_commands_of_the_readme_relay_a_transaction(shell, shared_chain):
    del shared_chain  # it is installed; the program of the README has a chain of its own
    lines = commands()
    first = next(index for index, line in enumerate(lines) if line.startswith("python "))

    def run(line: str) -> str:
        command, _, target = line.partition(" > ")
        command, _, source = command.partition(" < ")
        stdin = (shell.folder / source).read_text("utf-8") if source else None
        done = shell(*shlex.split(command)[1:], stdin=stdin)
        if "secrets set" in command:
            time.sleep(READ_EVERY + 0.1)  # an earlier test had another chain of this number
        if target:
            (shell.folder / target).write_text(done.stdout, "utf-8")
        return done.stdout

    try:
        for line in lines[:first]:
            run(line)
        with serving(shlex.split(lines[first]), shell.folder):
            shown = {line: run(line) for line in lines[first + 1 :]}
        assert "relayer-1" in shown["activityctl get relayers"]
        assert "is sent, with nonce 0" in shown["activityctl logs local-account"]
        entries = json.loads(shell("logs", "local-account", "-o", "json").stdout)["items"]
        (told,) = [entry for entry in entries if entry["message"] == "trigger"]
        assert told["outputTxHash"] != "0x" + 64 * "0"
        assert told["metadata"]["postExecutionState"]["successful"] is True
    finally:
        shell("delete", "subscription", "local-account", "--yes", code=None)
        shell("secrets", "remove", "chain-31337", "--yes", code=None)
