"""Hints help: none repeats the failed command, none starts a daemon beside other servers."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import activityctl
from activityctl.cli.hints import fitting_hint
from activityctl.cli.main import COMMANDS

ROOT = Path(activityctl.__file__).parent


def texts_of(node: ast.expr) -> Iterator[str]:
    """Yield the texts that an expression may be; what is filled in becomes X."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "X" for part in parts
            )
        case ast.IfExp(body=body, orelse=orelse):
            yield from texts_of(body)
            yield from texts_of(orelse)
        case ast.BoolOp(values=values):
            for value in values:
                yield from texts_of(value)


@pytest.fixture(scope="module")
def hints() -> set[str]:
    """Return every hint that the package's source spells out."""
    found: set[str] = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "hint":
                found.update(texts_of(node.value))
            if isinstance(node, ast.Assign) and any(
                isinstance(name, ast.Name) and "hint" in name.id.lower() for name in node.targets
            ):
                found.update(texts_of(node.value))
    return found


def test_the_hints_of_the_package_are_found(hints: set[str]):
    assert len(hints) > 100
    assert {"activityctl up -d", "activityctl doctor", "activityctl status"} <= hints


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("is_local", [True, False])
def test_no_hint_repeats_the_command_or_starts_a_daemon_beside_servers(
    hints: set[str], command: str, *, is_local: bool
):
    for hint in hints:
        for words in ([command], [command, "-o", "json"]):
            fitting = fitting_hint(hint, words, uses_local_daemon=is_local)
            assert fitting is not None
            assert fitting != f"activityctl {command}"
            assert is_local or "activityctl up" not in fitting


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        ("activityctl get runs", ["get", "runs", "ffff"]),
        ("activityctl down && activityctl up -d", ["up", "-d"]),
        ("write postgresql://USER@HOST", ["doctor"]),
    ],
)
def test_a_hint_that_helps_is_kept(hint: str, words: list[str]):
    assert fitting_hint(hint, words, uses_local_daemon=True) == hint


@pytest.mark.parametrize("words", [["worker"], ["status"], ["get", "runs"]])
def test_an_old_schema_is_migrated_by_who_may(words: list[str]):
    hint = "activityctl worker --migrate"
    assert fitting_hint(hint, words, uses_local_daemon=False) == hint
    restart = "activityctl down && activityctl up -d"
    assert fitting_hint(hint, words, uses_local_daemon=True) == restart
