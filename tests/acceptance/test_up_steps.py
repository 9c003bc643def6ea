"""`up` says what it does, step by step; Ctrl-C during the start leaves nothing running."""

import re
import signal

import psutil
import pytest

from activityctl.daemon.local.supervised_process import orphan_processes

CALENDAR = """
apiVersion: activityctl/v1
kind: Calendar
metadata: {name: days}
spec: {days: [2026-12-25]}
"""

pytestmark = pytest.mark.slow


def lines_until(process, text):
    lines = []
    while text not in "".join(lines[-1:]):
        line = process.stderr.readline()
        assert line, lines
        lines.append(line)
    return lines


@pytest.mark.parametrize("arguments", [("up", "-d"), ("up",)], ids=" ".join)
def test_ctrl_c_during_the_start_leaves_nothing_running(stranger, arguments):
    process = stranger.start(*arguments)
    try:
        lines = lines_until(process, "preparing the database")
        assert lines[0].startswith("starting the daemon of ")
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    finally:
        process.kill()
    if "-d" in arguments:
        assert process.returncode == 130
        assert "interrupted: the start was stopped; nothing of it is left running" in rest
    assert not orphan_processes(stranger.home.resolve())
    assert not [
        running
        for running in psutil.process_iter(["cmdline"])
        if str(stranger.home) in " ".join(running.info["cmdline"] or ())
    ]
    assert not (stranger.home / "postgres.new").exists()
    assert "no activityctl daemon is running" in stranger("status", code=7).stderr


def test_the_steps_of_a_start_are_lines_where_nothing_can_be_drawn(stranger):
    (stranger.folder / "days.yaml").write_text(CALENDAR)
    done = stranger("up", "-d", "-f", "days.yaml")
    try:
        lines = done.stderr.splitlines()
        assert lines[0] == "checking days.yaml"
        assert lines[1] == f"starting the daemon of {stranger.home}"
        begun = [
            line for line in lines if re.fullmatch(r"(starting|preparing|migrating) [\w ]+", line)
        ]
        assert begun.index("preparing the database") < begun.index("starting Postgres")
        assert begun.index("starting Postgres") < begun.index("migrating the database")
        assert {"starting Temporal", "starting the worker", "starting the API"} <= set(begun)
        for line in begun:
            assert re.search(rf"^{line}: done in [\d.]+ s$", done.stderr, re.MULTILINE)
        assert re.search(r"^ready in [\d.]+ s$", done.stderr, re.MULTILINE)
        again = stranger("up", "-d")
        assert "already runs" in again.stderr
    finally:
        stranger("down")
