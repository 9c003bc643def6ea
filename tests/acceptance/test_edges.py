"""No command has a bug, or hides what it did, at the edges of the program: streams and words."""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.forked import run_command

BUG, LOST = 70, 74
MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: edge}
spec:
  description: "naïve größe ✓"
  triggers: [{name: order, event: {type: order.edge}}, {name: daily, cron: {schedule: "0 3 * * *"}}]
  tasks: [{name: note, command: {argv: ["echo", "hällo ✓"]}}]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: edge}
spec: {activity: edge}
"""
FAST = {
    "help": "--help",
    "version": "version",
    "validate": "validate -f edge.yaml",
    "explain": "explain definition.spec.triggers",
    "guide": "guide schedules",
    "schema": "schema",
    "completion": "",
}
WITH_SERVER = {
    "plan": "plan -f edge.yaml",
    "apply": "apply -f edge.yaml",
    "get": "get definitions -o yaml",
    "logs": "logs edge",
    "emit": "emit --type order.edge --source /edge --data {}",
    "trigger": "trigger edge",
    "wait": "wait {run}",
    "next": "next edge",
    "export": "export definition edge",
    "doctor": "doctor",
    "status": "status",
    "up": "up -d",
    "history": "history definition edge",
}
COMMANDS = FAST | WITH_SERVER
EDGES: dict[str, tuple[str, dict[str, str]]] = {
    "ascii": ("{}", {"PYTHONIOENCODING": "ascii"}),
    "latin-1": ("{}", {"PYTHONIOENCODING": "latin-1"}),
    "posix": ("{}", {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    "full disk": ("", {}),
    "full disk for messages": ("{} 2> /dev/full", {}),
    "no stdout": ("{} >&-", {}),
    "no stdin": ("{} <&-", {}),
    "no stderr": ("{} 2>&-", {}),
    "no stream": ("{} <&- >&- 2>&-", {}),
    "strange variables": (
        r"export FOO=$'\377' EDITOR=$'\377' GITHUB_ACTOR=$'a\377' GITHUB_SHA=$'\377'; {}",
        {},
    ),
}
FINDS = {"doctor", "status"}
LOSES_OUTPUT = {"full disk", "no stdout", "no stream"}
# Every command at every edge would take minutes: all meet a full disk, and each other edge meets
# two commands of all, in turn, and the one that prints most.
PAIRS = [
    (edge, name)
    for at, edge in enumerate(EDGES)
    for place, name in enumerate(COMMANDS)
    if edge == "full disk" or name == "guide" or place % len(EDGES) == at
]


@pytest.fixture(scope="module")
def folder(daemon: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("edge")
    (folder / "edge.yaml").write_text(MANIFEST, "utf-8")
    shell = type(daemon)(daemon.home, folder)
    shell("apply", "-f", "edge.yaml")
    (folder / "run").write_text(shell("trigger", "edge", "-o", "name").stdout.strip())
    return folder


def through_bash(
    daemon: Any, folder: Path, line: str, **more: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["bash", "-c", line],
        env={**daemon.environment, **more, "TMPDIR": str(folder)},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    out, err = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))
    check_no_bug(err, folder)
    return subprocess.CompletedProcess(line, done.returncode, out, err)


def with_words(
    daemon: Any, folder: Path, words: list[str], out: Path | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a command whose streams are all open, which is quicker without bash."""
    environment = {**daemon.environment, **more, "TMPDIR": str(folder)}
    done = run_command(*words, environment=environment, folder=folder, out=out, timeout=60)
    check_no_bug(done.stderr, folder)
    return done


def check_no_bug(err: str, folder: Path) -> None:
    assert "Traceback" not in err, err
    assert "Exception ignored" not in err, err
    assert not list(folder.glob("activityctl-*.txt")), "\n".join(
        path.read_text() for path in folder.glob("activityctl-*.txt")
    )


@pytest.mark.parametrize(("edge", "name"), PAIRS)
def test_a_command_does_its_work_and_tells_its_effect(
    daemon: Any, folder: Path, edge: str, name: str
):
    form, variables = EDGES[edge]
    run = (folder / "run").read_text().removeprefix("run/")
    words = COMMANDS[name].replace("{run}", run).split()
    line = shlex.join(daemon.command(*words))
    if name == "completion":  # as the shell asks for its script
        variables = {**variables, "_ACTIVITYCTL_COMPLETE": "source_bash"}
    if edge == "full disk":
        done = with_words(daemon, folder, words, Path("/dev/full"), **variables)
    else:
        done = through_bash(daemon, folder, form.replace("{}", line), **variables)
    if edge not in LOSES_OUTPUT:
        # The daemon is shared, and what other tests left in it may be a finding of these.
        plain = with_words(daemon, folder, words) if name in FINDS else None
        assert done.returncode == (plain.returncode if plain else 0), done.stderr
        return
    assert done.returncode == LOST, done.stderr
    if edge == "full disk":
        told = done.stderr.partition("error: standard output cannot be written: no space left")
        assert told[0].strip()
        assert "hint: " in told[2]


def test_the_effect_of_a_trigger_is_told_although_the_disk_is_full(daemon: Any, folder: Path):
    done = with_words(daemon, folder, ["trigger", "edge"], Path("/dev/full"))
    said = done.stderr.split()
    assert (done.returncode, said[1]) == (LOST, "succeeded")
    assert (
        "succeeded" in type(daemon)(daemon.home, folder)("wait", said[0].partition("/")[2]).stdout
    )


def test_a_character_that_the_terminal_lacks_has_a_substitute(daemon: Any, folder: Path):
    line = shlex.join(daemon.command("guide", "architecture"))
    shown = through_bash(daemon, folder, line, PYTHONIOENCODING="ascii").stdout
    assert "YAML -- apply --> Postgres" in shown


WORDS = [
    r"get $'\377'",
    r"get tasks $'\377'",
    r"describe def $'\377'",
    r"history def $'\377'",
    r"rollback def $'\377'",
    r"logs $'\377'",
    r"trigger edge --key $'\377'",
    r"emit --type $'\377' --data {}",
    r"apply -f $'\377'",
    r"--profile $'\377' get runs",
    r"config add p --database-url $'postgresql://\377@h/d'",
    r"get runs --since $'\377'",
    "config add p --database-url mysql://a@b/c",
    "emit - <&-",
    "validate -f - <&-",
    "plan -f edge.yaml --out /dev/full",
    "plan -f edge.yaml --out /proc/nothing",
    "init /proc/nothing",
]


@pytest.mark.parametrize("words", WORDS)
def test_a_word_that_means_nothing_is_an_error_with_a_reason(daemon: Any, folder: Path, words: str):
    if "<&-" in words:
        done = through_bash(daemon, folder, f"{shlex.join(daemon.command())} {words}")
    else:
        # As bash and Python do: the byte 377 becomes a surrogate.
        meant = words.replace("$'", "'").replace(r"\377", "\udcff")
        done = with_words(daemon, folder, shlex.split(meant))
    assert 0 < done.returncode < BUG, done.stderr
    assert "error: " in done.stderr
    assert "codec" not in done.stderr
    assert "[Errno" not in done.stderr


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://a@b/c", "get runs"),
        ("mysql://a@b/c", "apply -f edge.yaml"),
        ("sqlite:///x.db", "migrate"),
        ("sqlite:///x.db", "worker"),
        ("http://h/d", "serve"),
    ],
)
def test_a_database_of_another_kind_is_refused(daemon: Any, folder: Path, url: str, words: str):
    done = with_words(daemon, folder, words.split(), ACTIVITYCTL_DATABASE_URL=url)
    assert done.returncode == 3
    scheme = url.partition(":")[0]
    assert f"begins with {scheme}://, but activityctl needs PostgreSQL" in done.stderr
    assert "hint: write postgresql://" in done.stderr


def test_a_report_that_cannot_be_written_is_no_second_bug(daemon: Any):
    program = (
        "import os, sys; from activityctl.cli import main; "
        "main.app = lambda *_, **__: 1 / 0; main.main(['version'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**daemon.environment, "TMPDIR": "/nothing"},
        cwd="/proc",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == BUG
    assert "Traceback" not in done.stderr


def test_the_program_without_a_word_shows_its_help(daemon: Any, folder: Path):
    done = through_bash(daemon, folder, shlex.join(daemon.command()))
    assert done.returncode == 2
    assert "Usage: activityctl" in done.stderr
