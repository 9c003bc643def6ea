"""The file of a saved plan: only its owner reads it, and it must be a regular file."""

import os
import re
import stat
import subprocess

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
    done = stranger("apply", "plan.json", code=3, timeout=60)
    assert "not a regular file" in done.stderr


def test_a_saved_plan_records_the_commit_of_its_files(shell):
    def git(*words):
        who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        done = subprocess.run(
            ["git", *who, *words], cwd=shell.folder, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    git("init", "-q")
    (shell.folder / "a.yaml").write_text(DEFINITION.replace("privately", "at-a-commit"))
    git("add", "a.yaml")
    git("commit", "-qm", "one")
    planned_at = git("rev-parse", "HEAD")
    shell("plan", "-f", "a.yaml", "--out", "plan.json")
    git("commit", "-qm", "two", "--allow-empty")
    shell("apply", "plan.json")
    changes = shell.json("history", "def/planned-at-a-commit")["items"]
    assert changes[0]["sourceCommit"] == planned_at


def test_git_ignores_what_the_texts_of_a_new_folder_save(stranger):
    stranger("init", "auto", "--ci", "gitlab")
    stranger("init", "other", "--ci", "github")
    for name in ("auto", "other"):
        folder = stranger.folder / name
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
        texts = [path.read_text() for path in folder.rglob("*") if path.suffix in {".md", ".yml"}]
        texts += [stranger("plan", "--help").stdout, stranger("apply", "--help").stdout]
        written = re.compile(r"(?:--out|[^|]>) ([\w.-]+\.(?:json|md))\b")
        saved = {found for text in texts for found in written.findall(text)}
        saved -= {"activityctl.schema.json"}
        assert {"plan.json", "plan.md"} <= saved
        done = subprocess.run(
            ["git", "check-ignore", *saved], cwd=folder, capture_output=True, text=True, check=False
        )
        assert set(done.stdout.split()) == saved
