"""`backup` and `restore` as a user types them; what a restore does is in tests/drills."""

import json
from pathlib import Path
from typing import Any


def test_a_backup_is_verified_and_a_restore_says_first_what_it_would_replace(shell: Any):
    done = shell("backup", "a.backup", "--verify", timeout=180)
    assert "tables with" in done.stdout
    assert "not in it: secrets of the key store" in done.stdout
    path = Path(shell.folder, "a.backup")
    assert path.stat().st_mode & 0o777 == 0o600
    assert "add --replace" in shell("backup", "a.backup", code=5).stderr
    view = shell.json("restore", "a.backup", "--dry-run")
    assert view["dryRun"]
    assert view["workersAlive"] >= 1
    assert view["rows"].keys() == view["replaces"].keys() - {"workers"}
    empty = view["replaces"]["definitions"] == 0
    refused = shell("restore", "a.backup", *(() if empty else ("--replace",)), code=1).stderr
    assert "a worker is alive" in refused
    assert "--stop-workers" in refused
    if not empty:
        assert "is not empty" in shell("restore", "a.backup", code=1).stderr
    path.write_bytes(path.read_bytes()[:5000])
    error = json.loads(shell("restore", "a.backup", "-o", "json", code=3).stderr)
    assert "no backup, or not a whole one" in error["message"]
    shell("restore", "absent.backup", code=3)
    shell("backup", "absent/a.backup", code=3)
    names = [each.name for each in shell.folder.iterdir()]
    assert names == ["a.backup"]
