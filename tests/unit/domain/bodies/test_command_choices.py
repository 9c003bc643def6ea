"""What a value may choose about a command: not its program, account, folder or loaded code."""

from typing import Any

import pytest

from activityctl.domain.bodies.command_choices import (
    check_choices,
    refuse_choices,
    trusted_names,
)
from activityctl.errors import ExpressionError

X = "${ event.data.x }"
MINE = "${ params.x }"


def found(body: Any, for_each: Any = None) -> list[tuple[str | int, ...]]:
    return [finding.path for finding in check_choices(body, trusted_names(for_each))]


@pytest.mark.parametrize(
    ("argv", "index"),
    [
        ([X], 0),
        (["/opt/tools/" + X], 0),
        (["${ params.x + event.data.x }"], 0),
        (["${ params.x + '/' }" + X], 0),
        (["env", X], 1),
        (["env", "A=b", "-u", "C", X], 4),
        (["env", X + "=b", "ls"], 1),
        (["timeout", "5", X], 2),
        (["timeout", "-k", "1", "5", X], 4),
        (["nice", "-n", "5", X], 3),
        (["sudo", "-u", X, "ls"], 2),
        (["sudo", "-u", "app", X], 3),
        (["timeout", "5", "nice", X], 3),
        (["docker", "run", "--rm", X], 3),
        (["docker", "exec", "box", X], 3),
        (["busybox", X], 1),
        (["find", "/srv", "-exec", X, "{}", ";"], 3),
        (["xargs", "-n", "1", X], 3),
        (["env", "PATH=" + X, "ls"], 1),
        (["env", "-i", "LD_PRELOAD=/lib/" + X, "ls"], 2),
        (["sh", X], 1),
        (["env", "bash", "-eu", X, "a"], 3),
        (["python3", "-W", "ignore", X], 3),
        (["python3", "-m", X], 2),
        (["su", X, "-c", "ls"], 1),
        (["awk", "-f", X], 2),
    ],
)
def test_an_event_does_not_choose_the_program(argv: list[str], index: int):
    assert found({"argv": argv}) == [("argv", index)]
    mine = [word.replace(X, MINE).replace("event.data.x", "params.x") for word in argv]
    assert found({"argv": mine}) == [], "whoever applies has written the params"


@pytest.mark.parametrize(
    "argv",
    [
        ["echo", X],
        ["env", "A=" + X, "printenv", X],
        ["timeout", "5", "curl", X],
        ["sudo", "-u", "app", "ls", X],
        ["docker", "exec", "box", "ls", X],
        ["find", X, "-exec", "cat", "{}", ";"],
        ["${ 'ls' }", X],
        ["sh", "-c", 'echo "$1"', "sh", X],
        ["bash", "-s", X],
        ["python3", "job.py", X],
        ["python3", "-m", "job", X],
        ["flock", "/run/lock", "ls", X],
    ],
)
def test_an_event_chooses_arguments(argv: list[str]):
    assert found({"argv": argv}) == []


@pytest.mark.parametrize(
    "source",
    ["event.data.x", "tasks.a.output.x", "state.x", "context.c.x", "trigger.payload", "item"],
)
def test_only_params_choose_the_account_the_folder_the_whole_list_and_what_is_loaded(source: str):
    value = f"${{ {source} }}"
    for body, path in (
        ({"argv": value}, ("argv",)),
        ({"argv": ["ls"], "user": value}, ("user",)),
        ({"argv": ["make"], "cwd": f"/srv/{value}"}, ("cwd",)),
        ({"argv": ["ls"], "env": value}, ("env",)),
        ({"argv": ["ls"], "env": {"PATH": value}}, ("env", "PATH")),
        ({"shell": "ls", "env": {"LD_PRELOAD": value}}, ("env", "LD_PRELOAD")),
        (value, ()),
    ):
        assert found(body) == [path]
        with pytest.raises(ExpressionError, match="must not choose"):
            refuse_choices(body, trusted_names(None))
    assert found({"argv": MINE, "user": MINE, "cwd": MINE, "env": {"PATH": MINE}}) == []
    assert found({"shell": "ls", "env": {"REGION": value}, "stdin": value}) == []


def test_an_item_chooses_if_its_list_is_written_out_or_comes_from_params():
    body = {"argv": ["${ item }"]}
    for for_each in (["ls", "df"], MINE, [MINE, "ls"]):
        assert found(body, for_each) == []
    for for_each in (None, X, [X, "ls"], [{"a": X}]):
        assert found(body, for_each) == [("argv", 0)]


def test_the_offset_is_that_of_the_expression():
    (finding,) = check_choices({"argv": ["/opt/" + X]}, trusted_names(None))
    assert finding.offset is not None
    assert ("/opt/" + X)[finding.offset :].startswith("event.data.x }")
