"""A command that the tests fork does what one in a new process does."""

import os
import subprocess
from pathlib import Path

import pytest

from support.forked import run_command

MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: forked-%s}
spec: {tasks: [{name: one, wait: {for: 1s}}]}
"""


@pytest.mark.parametrize(
    ("words", "more", "stdin"),
    [
        (("version",), {}, None),
        (("validate", "-f", "good.yaml"), {}, None),
        (("validate", "-f", "-", "-o", "json"), {}, MANIFEST % "ö"),
        (("get", "runs"), {"ACTIVITYCTL_HOME": "nowhere"}, None),
        (("no-such-command", "\udcff"), {"COLUMNS": "60"}, None),
        (("--help",), {"COLUMNS": "80", "GITHUB_ACTIONS": "true"}, None),
        (("guide", "schedules", "--no-pager"), {"COLUMNS": "90", "PYTHONPATH": "elsewhere"}, None),
    ],
)
def test_it_gives_the_same_code_and_output(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    more: dict[str, str],
    stdin: str | None,
):
    (tmp_path / "good.yaml").write_text(MANIFEST % "a")
    environment = {**os.environ, "ACTIVITYCTL_HOME": str(tmp_path / "home"), **more}
    forked = run_command(*words, environment=environment, folder=tmp_path, stdin=stdin)
    monkeypatch.setenv("TESTS_START_NEW_PROCESSES", "1")
    new = run_command(*words, environment=environment, folder=tmp_path, stdin=stdin)
    assert (forked.returncode, forked.stdout, forked.stderr) == (
        new.returncode,
        new.stdout,
        new.stderr,
    )


def test_one_whose_output_goes_to_a_full_disk_fails_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    full = Path("/dev/full")
    forked = run_command("schema", environment=os.environ, folder=tmp_path, out=full)
    monkeypatch.setenv("TESTS_START_NEW_PROCESSES", "1")
    new = run_command("schema", environment=os.environ, folder=tmp_path, out=full)
    assert forked.returncode == new.returncode == 74
    assert forked.stderr == new.stderr


def test_one_that_takes_too_long_is_killed():
    environment = {
        **os.environ,
        "ACTIVITYCTL_DATABASE_URL": "postgresql://a@192.0.2.1/a",  # where nobody answers
        "TEMPORAL_ADDRESS": "192.0.2.1:7233",
    }
    with pytest.raises(subprocess.TimeoutExpired):
        run_command("worker", environment=environment, timeout=0.5)
