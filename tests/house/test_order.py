"""The order of the test files names real files, and spreads those that wait."""

from itertools import pairwise
from pathlib import Path

from support.order import CALCULATING, LANES, WAITING, WITHOUT_THE_SHARED_DAEMON, lanes, spread

TESTS = Path(__file__).parents[1]


def test_the_files_that_are_named_exist():
    named = (*WAITING, *CALCULATING, *WITHOUT_THE_SHARED_DAEMON)
    assert not [name for name in named if not (TESTS / name).exists()]


def test_files_that_wait_stand_among_those_that_calculate_and_none_is_last():
    waiting = [f"drills/test_{letter}.py" for letter in "abcd"]
    files = [*waiting, "drills/test_stops.py", *(f"unit/test_{n}.py" for n in range(20)), "new.py"]
    ordered = spread(reversed(files))
    assert sorted(ordered) == sorted(files)
    assert ordered[0] == "drills/test_stops.py"
    assert [file for file in ordered if file in waiting] == waiting
    places = [ordered.index(file) for file in waiting]
    assert all(later - earlier > 1 for earlier, later in pairwise(places))
    assert places[-1] < len(files) - 3
    assert spread([]) == []


def test_the_files_of_a_lane_stand_together_before_all_others():
    shared = [f"acceptance/test_{letter}.py" for letter in "abcde"]
    others = ["acceptance/test_guide.py", "drills/test_a.py", "unit/test_a.py"]
    ordered = spread([*others, *shared])
    lane_of = lanes(ordered)
    assert sorted(ordered[: len(shared)]) == shared
    assert lane_of.keys() == set(shared)
    assert [lane_of[file] for file in ordered[: len(shared)]] == sorted(lane_of.values())
    assert set(lane_of.values()) == set(range(LANES))
