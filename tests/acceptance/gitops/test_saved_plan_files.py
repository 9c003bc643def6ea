"""The file of a saved plan: only its owner reads it, and it must be a regular file."""

import os
import stat

DEFINITION = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: planned-privately}
spec: {tasks: [{name: a, command: {argv: ["true"]}}]}
"""


def test_only_its_owner_can_read_a_saved_plan(shell):
    (shell.folder / "a.yaml").write_text(DEFINITION)
    plan = shell.folder / "plan.json"
    plan.touch(0o644)
    shell("plan", "-f", "a.yaml", "--out", "plan.json")
    assert stat.S_IMODE(plan.stat().st_mode) == 0o600
    shell("apply", "plan.json")


def test_a_fifo_is_no_saved_plan(stranger):
    os.mkfifo(stranger.folder / "plan.json")
    done = stranger("apply", "plan.json", code=3, timeout=10)
    assert "not a regular file" in done.stderr
