"""The `command` executor: input and output, failures, and the end of its processes."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from activityctl.domain.manifests.output_fields import OUTPUT_FIELDS
from activityctl.errors import TaskError
from activityctl.executors.command import CommandBody, CommandExecutor
from support.commands import (
    ENVIRONMENT,
    SHOW_ENVIRONMENT,
    a_call,
    an_executor,
    failing,
    nothing_left_behind,
    run,
    written,
)


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    with nothing_left_behind():
        yield


# ---- input and output ----------------------------------------------------------------


async def test_arguments_are_passed_as_they_are():
    output = (await run(argv=["printf", "%s|", "a b", "$HOME", ";", "ä"])).output
    duration = output.pop("durationMs")
    assert 0 <= duration < 60_000
    assert output == {
        "exitCode": 0,
        "stdout": "a b|$HOME|;|ä|",
        "stderr": "",
        "stdoutBytes": 15,
        "stderrBytes": 0,
        "json": None,
    }


async def test_a_script_is_run_by_the_shell(tmp_path: Path):
    output = (
        await run(shell='echo "$MINE"; pwd; echo oops >&2', env={"MINE": "x"}, cwd=str(tmp_path))
    ).output
    assert output["stdout"] == f"x\n{tmp_path}\n"
    assert output["stderr"] == "oops\n"


async def test_the_environment_is_clean_and_has_the_ids_of_the_call(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("WORKER_SECRET", "s3cret")
    body = {"argv": [sys.executable, "-c", SHOW_ENVIRONMENT], "env": {"HOME": "/tmp", "X": "y"}}
    seen = (await run(**body, parse="json")).output["json"]
    seen.pop("LC_CTYPE", None)  # Python sets it for itself
    assert Path(seen.pop("TMPDIR")).name.startswith("activityctl-task-")
    assert len(seen.pop("ACTIVITYCTL_PROCESS")) == 32
    assert seen == {
        "PATH": ENVIRONMENT["PATH"],
        "LANG": "C.UTF-8",
        "HOME": "/tmp",
        "X": "y",
        "ACTIVITYCTL_RUN_ID": "run-1",
        "ACTIVITYCTL_TASK_ID": "task-1",
        "ACTIVITYCTL_ATTEMPT": "2",
        "ACTIVITYCTL_IDEMPOTENCY_KEY": "key-1",
    }


async def test_a_command_has_no_open_files_but_its_three():
    script = "ls -l /proc/self/fd | grep -c socket:; exec ls /proc/self/fd"
    output = (await run(shell=script, stdin="x")).output["stdout"].split()
    assert output == ["0", "0", "1", "2", "3"]  # 3 is the folder that `ls` reads


async def test_standard_input_is_given_and_is_empty_otherwise():
    assert (await run(argv=["cat"], stdin="grün\n")).output["stdout"] == "grün\n"
    assert (await run(argv=["cat"], stdin="")).output["stdout"] == ""
    assert (await run(argv=["cat"])).output["stdout"] == ""


async def test_large_input_is_passed_completely():
    output = (await run(argv=["wc", "-c"], stdin="x" * 3_000_000)).output
    assert output["stdout"].strip() == "3000000"


async def test_input_that_the_program_does_not_read_does_not_block():
    assert (await run(argv=["true"], stdin="x" * 3_000_000)).output["exitCode"] == 0
    assert (await run(shell="exec <&-; sleep 0.1", stdin="x" * 3_000_000)).output["exitCode"] == 0
    error = await failing(a_call(0.2), argv=["sleep", "60"], stdin="x" * 3_000_000)
    assert error.task_code == "timeout"


async def test_json_is_parsed():
    output = (await run(argv=["echo", '{"n": 99999999999999999999}'], parse="json")).output
    assert output["json"] == {"n": "99999999999999999999"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "NaN",
        "1e400",
        '"\\u0000"',
        '"\\ud800"',
        "[" * 70 + "]" * 70,
        '"' + "x" * 70_000 + '"',
    ],
)
async def test_output_that_is_not_json_is_not_retried(text: str):
    error = await failing(argv=["cat"], stdin=text, parse="json")
    assert (error.task_code, error.may_retry) == ("bad_output", False)
    assert str(error).startswith("standard output is not JSON that can be stored: ")


async def test_binary_output_becomes_text():
    output = (await run(shell=r"printf 'a\0b\377c'")).output
    assert (output["stdout"], output["stdoutBytes"]) == ("a\ufffdb\ufffdc", 5)


async def test_large_output_on_both_pipes_keeps_beginning_and_end():
    script = (
        "import os\n"
        "for n in range(50):\n"
        "    os.write(1, b'o' * 20000); os.write(2, b'e' * 20000)\n"
        "os.write(1, b'the end'); os.write(2, b'the end')"
    )
    output = (await run(argv=[sys.executable, "-c", script])).output
    for name, letter in (("stdout", "o"), ("stderr", "e")):
        text = output[name]
        assert output[f"{name}Bytes"] == 1_000_007
        assert text.startswith(letter * 32_768 + "\n[... 934471 bytes left out ...]\n" + letter)
        assert text.endswith("the end")
        assert len(text) < 66_000


async def test_output_at_the_limit_is_complete():
    output = (await run(argv=["cat"], stdin="ä" * 32_768)).output
    assert output["stdout"] == "ä" * 32_768


async def test_no_character_is_cut_where_output_is_left_out():
    output = (await run(argv=["cat"], stdin="x" + "€" * 40_000)).output
    assert "\ufffd" not in output["stdout"]


# ---- failures ------------------------------------------------------------------------


async def test_an_exit_code_is_an_error_that_quotes_the_end_of_stderr():
    error = await failing(shell="printf '%0600d' 7 >&2; exit 3")
    assert (error.task_code, error.may_retry) == ("exit_code", True)
    assert error.message == f"ended with exit code 3: {'0' * 499}7"


async def test_an_error_quotes_both_streams_if_both_were_written():
    error = await failing(shell='echo "TEST FAILED"; echo err >&2; exit 1')
    assert error.message == "ended with exit code 1: stderr: err; stdout: TEST FAILED"
    error = await failing(shell="echo 1; printf '%0900d' 2; printf '%0900d' 3 >&2; exit 1")
    start = "ended with exit code 1: stderr: "
    output = f"; stdout: {'0' * 149}2"
    zeros = 500 - len("stderr: ") - len(output) - 1
    assert error.message == f"{start}{'0' * zeros}3{output}"


async def test_a_signal_is_named():
    error = await failing(shell="kill -SEGV $$")
    assert (error.task_code, error.message) == ("exit_code", "was killed by SIGSEGV")


async def test_other_exit_codes_can_mean_success():
    output = (await run(shell="exit 3", successCodes=[0, 3])).output
    assert output["exitCode"] == 3
    assert (await failing(shell="exit 0", successCodes=[3])).task_code == "exit_code"


async def test_a_program_that_cannot_be_started_is_not_retried(tmp_path: Path):
    plain = tmp_path / "plain"
    plain.write_text("echo x")
    for body in (
        {"argv": ["no-such-program"]},
        {"argv": [str(plain)]},
        {"argv": [str(tmp_path)]},
        {"argv": ["true"], "cwd": str(tmp_path / "missing")},
        {"argv": ["true"], "cwd": str(plain)},
        {"argv": ["true", "a\0b"]},
        {"argv": ["true"], "env": {"X": "a\0b"}},
        {"argv": ["true", "x" * 3_000_000]},
    ):
        error = await failing(**body)
        assert (error.task_code, error.may_retry) == ("cannot_start", False)
        assert error.message.startswith("cannot start: ")
    assert "missing" in (await failing(argv=["true"], cwd=str(tmp_path / "missing"))).message


async def test_commands_are_disabled_unless_allowed(tmp_path: Path):
    trace = tmp_path / "trace"
    executor = CommandExecutor(allowed=False, base_environment=ENVIRONMENT)
    with pytest.raises(TaskError, match="ACTIVITYCTL_ALLOW_COMMANDS=true") as caught:
        await executor.execute(CommandBody(argv=["touch", str(trace)]), a_call())
    assert (caught.value.task_code, caught.value.may_retry) == ("not_allowed", False)
    assert not trace.exists()


# ---- what is kept --------------------------------------------------------------------


async def test_the_output_of_a_failed_attempt_is_kept():
    error = await failing(shell="echo TEST FAILED; exit 1")
    assert error.message == "ended with exit code 1: TEST FAILED"
    assert (error.output["exitCode"], error.output["stdout"]) == (1, "TEST FAILED\n")
    assert error.output.keys() <= OUTPUT_FIELDS["command"].keys()
    error = await failing(a_call(1.0), shell="echo out; echo err >&2; sleep 60")
    assert error.output["stdout"] == "out\n"
    assert error.output["stderr"] == "err\n"
    assert error.output["exitCode"] == -signal.SIGTERM
    error = await failing(argv=["echo", "[1"], parse="json")
    assert (error.output["stdout"], error.output["json"]) == ("[1\n", None)


async def test_the_output_of_a_cancelled_attempt_is_kept(tmp_path: Path):
    kept: list[Any] = []

    async def stopped(output: Any, last_lines: str) -> None:
        kept.append((output["stdout"], output["exitCode"], last_lines))

    path = tmp_path / "number"
    call = replace(a_call(), stopped=stopped)
    task = asyncio.create_task(run(call, shell=f"echo begun; echo $$ > {path}; sleep 60"))
    await written(path)
    await asyncio.sleep(0.5)  # the executor hears of the start after the script has begun
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert kept == [("begun\n", -signal.SIGTERM, "begun")]


async def test_output_written_just_before_the_end_is_not_lost():
    output = (await run(shell="(sleep 0.3; echo late) & echo early")).output
    assert output["stdout"] == "early\nlate\n"


async def test_a_hundred_commands_run_at_once():
    executor = an_executor()
    bodies = [CommandBody(shell=f"echo {n}; echo {n} >&2; sleep 0.1") for n in range(100)]
    outcomes = await asyncio.gather(*(executor.execute(body, a_call(30)) for body in bodies))
    assert [outcome.output["stdout"] for outcome in outcomes] == [f"{n}\n" for n in range(100)]
    await executor.close()


async def test_without_pidfd_the_exit_is_polled(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    assert (await run(argv=["echo", "x"])).output["stdout"] == "x\n"
    assert (await failing(shell="exit 3")).task_code == "exit_code"
    assert (await failing(a_call(0.1), argv=["sleep", "60"])).task_code == "timeout"
    task = asyncio.create_task(run(argv=["sleep", "60"]))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# ---- the fields in YAML --------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "exactly one"),
        ({"argv": ["true"], "shell": "true"}, "exactly one"),
        ({"argv": []}, "at least 1"),
        ({"argv": "true"}, "list"),
        ({"argv": ["true"], "env": {"A=B": "x"}}, "environment variable"),
        ({"argv": ["true"], "parse": "yaml"}, "parse"),
        ({"argv": ["true"], "successCodes": []}, "at least 1"),
        ({"argv": ["true"], "user": ""}, "user"),
    ],
)
def test_invalid_bodies_are_refused(body: dict[str, Any], reason: str):
    with pytest.raises(ValidationError, match=reason):
        CommandBody.model_validate(body)


def test_every_field_of_the_body_is_described():
    assert all(field.description for field in CommandBody.model_fields.values())


async def test_numbers_from_rendered_templates_become_arguments():
    output = (await run(argv=["echo", 5, 1.5, True], env={"N": 7})).output
    assert output["stdout"] == "5 1.5 true\n"
