"""`verify` on the histories of the server, and on files in a folder, as a CI does."""

from pathlib import Path
from typing import Any

MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: verified}
spec: {tasks: [{name: one, command: {argv: ["true"]}}]}
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: verified}
spec: {activity: verified}
"""


def test_saved_histories_are_verified_and_one_that_does_not_fit_fails(shell: Any):
    folder: Path = shell.folder
    (folder / "verified.yaml").write_text(MANIFEST)
    shell("apply", "-f", "verified.yaml")
    run = shell.json("trigger", "verified", "--wait")["id"]
    saved = shell("verify", "--all", "--since", "10m", "--save", "histories", timeout=120).stdout
    assert "histories that fit this version" in saved
    (file,) = [path for path in (folder / "histories").glob("*.json") if run_of(shell, path, run)]
    text = file.read_text()
    broken = folder / "broken"
    broken.mkdir()
    (broken / "run.json").write_text(text.replace('"name": "execute"', '"name": "other"'))
    view = shell.json("verify", "broken", code=1)
    assert (view["verified"], view["parted"]) == (1, 1)
    (item,) = view["items"]
    assert (item["runs"], item["eventType"]) == ([run], "activity_task_scheduled")
    (broken / "run.json").write_text("{}")
    assert "run.json" in shell("verify", "broken", code=3).stderr
    shell("verify", "broken", "--all", code=2)


def run_of(shell: Any, path: Path, run: str) -> bool:
    """Return whether the file has the history of this run's workflow."""
    key = shell.json("describe", "run", run)["firingKey"].replace("/", "_")
    return path.stem.endswith(key)
