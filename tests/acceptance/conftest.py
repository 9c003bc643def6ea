"""Run the real command in a subprocess, as a user types it, on a daemon of the tests."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.forked import COMMAND, run_command
from support.prepared_home import prepare

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@dataclass(frozen=True)
class Shell:
    """Runs `activityctl ...` with one home and one working folder."""

    home: Path
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("ACTIVITYCTL_", "TEMPORAL_"))
        }
        return {**kept, "ACTIVITYCTL_HOME": str(self.home), "COLUMNS": "200"}

    def __call__(
        self, *arguments: str, code: int | None = 0, stdin: str | None = None, timeout: float = 90
    ) -> subprocess.CompletedProcess[str]:
        done = run_command(
            *arguments,
            environment=self.environment,
            folder=self.folder,
            stdin=stdin,
            timeout=timeout,
        )
        if code is not None:
            assert done.returncode == code, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: str, code: int | None = 0) -> Any:
        return json.loads(self(*arguments, "-o", "json", code=code).stdout)

    def command(self, *arguments: str) -> list[str]:
        return [str(COMMAND), *arguments]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(COMMAND), *arguments],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="session")
def shell_at() -> type[Shell]:
    """The class, for a module that needs its own home and folder."""
    return Shell


_shared: list[Shell] = []
"""The daemon that the acceptance tests share, while it runs."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A daemon with nothing applied, shared by the acceptance tests until others follow them."""
    if not _shared:
        home = prepare(tmp_path_factory.mktemp("home"))
        shell = Shell(home, tmp_path_factory.mktemp("work"))
        shell("up", "-d")
        _shared.append(shell)
    return _shared[0]


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """Stop the shared daemon after the last of the tests that stand together."""
    if nextitem is None or HERE not in nextitem.path.parents:
        _stop_shared()


def pytest_sessionfinish() -> None:
    """Stop the shared daemon if the run ends early."""
    _stop_shared()


def _stop_shared() -> None:
    while _shared:
        _shared.pop()("down")


@pytest.fixture
def shell(daemon: Shell, tmp_path: Path) -> Shell:
    """The shared daemon, with a working folder for this test alone."""
    return Shell(daemon.home, tmp_path)


@pytest.fixture
def stranger(tmp_path: Path) -> Shell:
    """A home without a daemon."""
    return Shell(tmp_path / "home", tmp_path)
