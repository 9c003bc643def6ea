"""Gives the files of a lane to one worker of `-n`; `support.order` says which files have a lane."""

from functools import cached_property
from pathlib import Path

from xdist.scheduler import LoadFileScheduling

from support.order import lanes

TESTS = Path(__file__).parents[1]


class LaneScheduling(LoadFileScheduling):
    """Gives each worker whole files, as `--dist=loadfile` does, or a whole lane of them."""

    @cached_property
    def _lane_of(self) -> dict[str, int]:
        return lanes(path.relative_to(TESTS).as_posix() for path in TESTS.rglob("test_*.py"))

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        lane = self._lane_of.get(file.removeprefix(f"{TESTS.name}/"))
        return file if lane is None else f"lane {lane}"
