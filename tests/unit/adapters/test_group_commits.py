"""Requests that come together are written together; who is alone does not wait."""

import asyncio
from collections.abc import Sequence

import pytest

from activityctl.adapters.postgres.group_commits import Asked, GroupCommits, Pace


class Written:
    """Notes what is written together; a group with a bad request fails."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, requests: Sequence[str]) -> list[str | None]:
        self.groups.append(list(requests))
        await self.gate.wait()
        if any(request.startswith("bad") for request in requests):
            raise ValueError(" ".join(requests))
        return [None if request.startswith("not") else f"{request} done" for request in requests]


def asked(what: str, key: str | None = None) -> Asked[str]:
    return Asked(key or what, what, what)


async def test_requests_of_the_same_moment_are_one_group():
    written = Written()
    commits = GroupCommits(written)
    results = await asyncio.gather(*(commits.write(asked(each)) for each in "abc"))
    assert results == ["a done", "b done", "c done"]
    assert written.groups == [["a", "b", "c"]]


async def test_each_has_its_own_outcome():
    written = Written()
    commits = GroupCommits(written)
    wanted = ("a", "bad", "not", "b")
    results = await asyncio.gather(
        *(commits.write(asked(each)) for each in wanted), return_exceptions=True
    )
    assert [results[0], results[2], results[3]] == ["a done", None, "b done"]
    assert isinstance(results[1], ValueError)
    assert str(results[1]) == "bad"
    assert written.groups[0] == list(wanted)
    assert sorted(written.groups[1:]) == [["a"], ["b"], ["bad"], ["not"]]


async def test_requests_with_the_same_key_are_never_in_one_group():
    written = Written()
    commits = GroupCommits(written)
    wanted = [asked("a", "same"), asked("b", "same"), asked("c")]
    assert await asyncio.gather(*map(commits.write, wanted)) == ["a done", "b done", "c done"]
    assert written.groups == [["a", "c"], ["b"]]


async def test_no_group_has_more_than_fifty():
    written = Written()
    commits = GroupCommits(written)
    await asyncio.gather(*(commits.write(asked(f"{each}")) for each in range(120)))
    assert [len(group) for group in written.groups] == [50, 50, 20]


async def test_what_comes_while_all_turns_are_taken_is_gathered():
    written = Written()
    written.gate.clear()
    commits = GroupCommits(written, Pace(iter(range(100)).__next__))
    asking = []
    for each in "abcdefg":
        asking.append(asyncio.create_task(commits.write(asked(each))))
        await asyncio.sleep(0.01)
    assert written.groups == [["a"], ["b"], ["c"], ["d"]]
    written.gate.set()
    await asyncio.gather(*asking)
    assert written.groups[4:] == [["e", "f", "g"]]


@pytest.mark.parametrize("others", [0, 3])
async def test_a_cancelled_request_is_left_out_and_no_other_waits_for_it(others: int):
    written = Written()
    commits = GroupCommits(written)
    asking = [asyncio.create_task(commits.write(asked(f"{each}"))) for each in range(others + 1)]
    await asyncio.sleep(0)
    asking[0].cancel()
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [f"{each} done" for each in range(1, others + 1)]
    assert await commits.write(asked("next")) == "next done"


def test_a_request_waits_only_while_many_ask():
    time = 0.0
    pace = Pace(lambda: time)
    assert [pace.wait("one") for _ in range(30)] == [0.0] * 30
    waits = [pace.wait(f"{number}") for number in range(6)]
    assert [wait > 0 for wait in waits] == [False, False, False, True, True, True]
    time = 1.0
    assert pace.wait("one") == 0.0
