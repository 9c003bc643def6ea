"""A secret reaches a command by its environment alone, and is masked in all that it writes."""

import json
import sys
from pathlib import Path

import pytest

from activityctl.executors.capture import OUTPUT_BYTES
from support.commands import a_call, an_executor
from support.secrets import Known, attempt

CANARY = "canary-of-a-command-secret"
READER = Known({"crm-token": CANARY})
ENV = {"TOKEN": {"secretRef": "crm-token"}}
LOOK = """
import os, pathlib
mine, lines = os.environ["TOKEN"], []
for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    try:
        lines.append(path.read_bytes())
    except OSError:  # the process has ended
        pass
print(len(mine), any(mine.encode() in line for line in lines))
"""


async def run(reader: Known = READER, **body: object) -> tuple[str, str]:
    executor = an_executor()
    try:
        error, output = await attempt(executor, {"env": ENV, **body}, a_call(), reader)
    finally:
        await executor.close()
    return error, json.dumps(output)


@pytest.mark.parametrize(
    "script",
    [
        'echo "token $TOKEN"; echo "$TOKEN" >&2',
        'printf %s "$TOKEN" | base64',
        'echo "token $TOKEN" >&2; exit 3',
        f'head -c {OUTPUT_BYTES // 2 - 9} /dev/zero | tr "\\0" x; echo "$TOKEN"; seq 30000',
        f'seq 30000; echo "$TOKEN"; head -c {OUTPUT_BYTES // 2 - 9} /dev/zero | tr "\\0" x',
        'printf "%490s" x >&2; echo "$TOKEN" >&2; printf "%480s" y >&2; exit 1',
    ],
)
async def test_a_secret_that_a_command_prints_is_masked(script: str):
    error, output = await run(shell=script)
    shown = error + output
    assert "***" in shown
    assert not [length for length in range(8, 20) if CANARY[:length] in shown]
    assert not [length for length in range(8, 20) if CANARY[-length:] in shown]


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
async def test_no_process_has_the_secret_among_its_arguments():
    error, output = await run(argv=[sys.executable, "-c", LOOK])
    assert error == ""
    assert json.loads(output)["stdout"] == f"{len(CANARY)} False\n"


async def test_a_secret_that_is_bound_to_hosts_goes_to_no_command():
    error, _ = await run(Known(READER.values, {"crm-token": ("crm.example",)}), argv=["true"])
    assert "secret crm-token is bound to crm.example, and this use has no host" in error
