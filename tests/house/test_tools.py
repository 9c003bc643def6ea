"""Lint, formatting, types, import rules and the length of files."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "--output-format", "concise", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["lint-imports"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_the_tool_reports_no_problem(command: list[str]):
    if command == ["mypy"] and not (ROOT / ".mypy_cache").exists():
        command = ["mypy", "--no-incremental"]  # what nobody reads later takes a tenth of the time
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_python_file_has_more_than_400_lines():
    long = {
        str(path.relative_to(ROOT)): count
        for folder in ("activityctl", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if (count := len(path.read_text("utf-8").splitlines())) > 400
    }
    assert not long
