"""The order of the test files: those that wait stand evenly among those that calculate.

Each worker of `-n` takes the next file. If all of them wait for daemons, the CPUs have nothing to
do; if none of them waits, more workers than CPUs are of no use. So both kinds are spread over the
run, in each the longest first. The last files are short ones that calculate, so that no worker
has much to do when the others are done. A file that is not named here has the usual time of its
folder.

The acceptance tests that share a daemon come first, in lanes: the files of a lane go to one worker,
one after the other. So only as many daemons are started as there are lanes, and they are stopped
when their lane ends; a daemon at rest, and the schedules that tests leave in it, need CPU as well.
"""

from collections.abc import Iterable, Mapping
from typing import Final

WAITING: Final[Mapping[str, int]] = {
    "acceptance/test_chain_triggers.py": 15,
    "acceptance/test_next.py": 12,
    "acceptance/test_not_well.py": 26,
    "acceptance/test_overlap.py": 32,
    "acceptance/test_resume.py": 10,
    "acceptance/test_safe_commands.py": 37,
    "acceptance/test_worker_start.py": 95,
    "contract/executors/test_command_processes.py": 13,
    "drills/": 25,
    "drills/test_breakers.py": 33,
    "drills/test_canary.py": 37,
    "drills/test_chaos.py": 40,
    "drills/test_crashes.py": 42,
    "drills/test_events.py": 35,
    "drills/test_hard_conditions.py": 52,
    "drills/test_lost_seconds.py": 40,
    "drills/test_lost_temporal.py": 80,
    "drills/test_outages.py": 35,
    "drills/test_restores.py": 50,
    "drills/test_stops.py": 75,
    "integration/engine/": 10,
    "integration/engine/test_control_flow.py": 24,
    "integration/engine/test_lasting_errors.py": 33,
    "integration/engine/test_stuck_runs.py": 18,
    "integration/test_dead_links.py": 13,
    "integration/test_folder_sync.py": 10,
    "integration/test_locks.py": 26,
    "integration/test_slow_start.py": 8,
    "integration/timed/": 10,
    "integration/timed/test_gates.py": 17,
    "integration/timed/test_schedules.py": 44,
}
"""Rough seconds of the files that mostly wait, on a quiet machine."""
CALCULATING: Final[Mapping[str, int]] = {
    "acceptance/": 8,
    "acceptance/gitops/test_applies.py": 25,
    "acceptance/test_backfill.py": 30,
    "acceptance/test_ci_sample.py": 60,
    "acceptance/test_edges.py": 35,
    "acceptance/test_relaying.py": 20,
    "acceptance/test_remote_redo.py": 25,
    "contract/": 3,
    "contract/executors/test_code_executor.py": 13,
    "house/": 5,
    "house/test_tools.py": 30,
    "integration/": 8,
    "integration/api/test_openapi.py": 22,
    "integration/test_concurrent_applies.py": 18,
    "integration/test_supervisor.py": 35,
    "unit/": 1,
    "workflows/": 3,
}
"""Rough seconds of the files that mostly calculate."""
LANES: Final = 2
WITHOUT_THE_SHARED_DAEMON: Final = frozenset(
    f"acceptance/test_{name}.py"
    for name in (
        "accepted_firings",
        "ci_files",
        "code_kinds",
        "daemon_ports",
        "database_roles",
        "delete",
        "emit_outages",
        "external_servers",
        "guide",
        "keys",
        "malformed_settings",
        "not_well",
        "secret_references",
        "strange_daemons",
        "strange_home",
        "strange_postgres",
        "sync",
        "token_explain",
        "up_steps",
        "worker_start",
    )
)
"""The acceptance tests that have servers of their own, or need none."""
_LAST_THAT_WAITS = 0.6
"""The part of the run after which no file begins that mostly waits: the lanes have ended then."""
_SECONDS: Final = {**CALCULATING, **WAITING}


def spread(files: Iterable[str]) -> list[str]:
    """Order the files, which are named as below the folder of the tests."""
    all_files = _longest_first(files)
    lane_of = lanes(all_files)
    waiting, calculating = [], []
    for file in all_files:
        if file not in lane_of:
            (waiting if _entry(file) in WAITING else calculating).append(file)
    places = {**_places(waiting, _LAST_THAT_WAITS), **_places(calculating, 1)}
    return sorted(lane_of, key=lane_of.__getitem__) + sorted(places, key=places.__getitem__)


def lanes(files: Iterable[str]) -> dict[str, int]:
    """Return the lane of each file that has one; the lanes take about the same time."""
    lane_of, taken = {}, [0] * LANES
    for file in _longest_first(files):
        if file.startswith("acceptance/") and file not in WITHOUT_THE_SHARED_DAEMON:
            lane_of[file] = taken.index(min(taken))
            taken[lane_of[file]] += _seconds(file)
    return lane_of


def _longest_first(files: Iterable[str]) -> list[str]:
    return sorted(files, key=lambda file: (-_seconds(file), file))


def _places(files: list[str], end: float) -> dict[str, float]:
    """Return for each file when it begins, if the first begins at 0 and the last ends at `end`."""
    whole = sum(map(_seconds, files))
    places, before = {}, 0
    for file in files:
        places[file] = end * before / whole
        before += _seconds(file)
    return places


def _seconds(file: str) -> int:
    return _SECONDS.get(_entry(file), 3)


def _entry(file: str) -> str:
    """Return the key that fits the file best: its name, or the longest folder."""
    return max((key for key in _SECONDS if file == key or _is_in(file, key)), key=len, default="")


def _is_in(file: str, folder: str) -> bool:
    return folder.endswith("/") and file.startswith(folder)
