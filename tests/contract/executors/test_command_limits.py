"""A command within resource limits, and its lines in the log while it runs."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from activityctl.domain.values.masking import Mask
from activityctl.executors import live_log
from support.commands import a_call, failing, nothing_left_behind, run


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    with nothing_left_behind():
        yield


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.streams: set[Any] = set()

    def call(self, mask: Mask | None = None) -> Any:
        async def log(_level: str, message: str, facts: Mapping[str, Any]) -> None:
            self.lines.append(message)
            self.streams.add(facts.get("stream"))

        return replace(a_call(30.0), log=log, mask=mask or Mask())


async def test_cpu_time_is_limited():
    for body in (
        {"argv": [sys.executable, "-c", "while True: pass"]},
        {"shell": "while :; do :; done"},
    ):
        error = await failing(**body, limits={"cpu": "1s"})
        assert error.task_code == "resource_limit"
        assert "used more than 1s of CPU time (limits.cpu)" in str(error)


async def test_memory_open_files_and_file_size_are_limited():
    python = [sys.executable, "-c"]
    error = await failing(argv=[*python, "x = bytearray(1 << 30)"], limits={"memory": "256MiB"})
    assert "MemoryError" in str(error)
    script = "files = [open('/dev/null') for _ in range(100)]"
    error = await failing(argv=[*python, script], limits={"openFiles": 32})
    assert "Too many open files" in str(error)
    error = await failing(shell="exec head -c 2000000 /dev/zero > big", limits={"fileSize": "1MiB"})
    assert error.task_code == "resource_limit"
    assert "wrote a file of more than 1MiB (limits.fileSize)" in str(error)
    assert (await run(argv=["true"], limits={"cpu": "5s", "memory": "1GiB"})).output[
        "exitCode"
    ] == 0


async def test_lines_are_logged_while_it_runs():
    log = Log()
    script = "echo begun; echo oops >&2; sleep 3; echo done"
    await run(log.call(), shell=script)
    assert sorted(log.lines) == ["task compute: begun", "task compute: done", "task compute: oops"]
    assert log.streams == {"stdout", "stderr"}


async def test_a_quick_command_logs_no_lines():
    log = Log()
    await run(log.call(), shell="echo quick")
    assert log.lines == []


async def test_a_chatty_command_is_bounded():
    log = Log()
    script = (
        "end=$(( $(date +%s) + 4 )); while [ $(date +%s) -lt $end ]; do seq 1000; sleep 0.05; done"
    )
    output = (await run(log.call(), shell=script)).output
    assert output["stdoutBytes"] > 50_000
    lines = [line for line in log.lines if "more lines are not in the log" not in line]
    assert 10 <= len(lines) <= 8 * live_log.LINES_AT_ONCE
    assert len(lines) < len(log.lines)


async def test_a_secret_of_several_lines_keeps_its_lines_out_of_the_log():
    log = Log()
    call = log.call(Mask(["first-half-of-it\nsecond-half-of-it"]))
    await run(call, shell="printf 'first-half-of-it\\nsecond-half-of-it\\n'; sleep 2.5")
    assert log.lines == []
