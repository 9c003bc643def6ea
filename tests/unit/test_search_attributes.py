"""The search attributes are the same wherever they are named."""

from pathlib import Path

from activityctl.daemon.local.embedded_temporal import SEARCH_ATTRIBUTES
from activityctl.workflows.titles import ATTRIBUTES

ROOT = Path(__file__).parents[2]


def test_each_server_registers_what_runs_use() -> None:
    names = tuple(key.name for key in ATTRIBUTES)
    assert names == SEARCH_ATTRIBUTES
    compose = (ROOT / "docker-compose.dev.yml").read_text()
    page = (ROOT / "activityctl" / "guide" / "troubleshooting.md").read_text()
    for name in names:
        assert f"--name {name} --type KeywordList" in compose
        assert f"{name} = " in page
