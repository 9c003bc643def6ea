"""`verify`: histories of files are replayed, and the run and event are told where code parts."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from temporalio import workflow

from activityctl.adapters.temporal import history_files as history_files_module
from activityctl.adapters.temporal.histories import TemporalHistories
from activityctl.domain.runs.verification import VerifiedHistory, parting_event, verification_view
from activityctl.errors import InvalidInputError, NotFoundError
from activityctl.operations.runs.verify import history_files, verify
from activityctl.workflows.carrier import RunCarrier

FOLDER = Path(__file__).parent.parent / "histories"
_ADMIT = RunCarrier._admit


async def _nowhere() -> Any:
    raise AssertionError("files need no server")


async def _no_codec() -> None:
    """Payloads are not encrypted."""


def of_files(*paths: Path) -> AsyncIterator[VerifiedHistory]:
    return TemporalHistories(_nowhere, _no_codec).verify_files(history_files(list(paths)))


async def _admit_later(self: RunCarrier) -> Any:
    """Do what no version did: wait before the admission, so that no history fits."""
    await workflow.sleep(0.01)
    return await _ADMIT(self)


async def test_every_recorded_history_fits_the_installed_code():
    heard: list[tuple[int, int]] = []
    verified = await verify(of_files(FOLDER), lambda done, parted: heard.append((done, parted)))
    assert [history.reason for history in verified if not history.fits] == []
    assert heard[-1] == (len(list(FOLDER.glob("*.json"))), 0)
    assert all(history.runs and history.source for history in verified)


async def test_many_files_are_read_by_other_processes_with_the_same_result(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(history_files_module, "_MANY", 0)
    files = sorted(FOLDER.glob("*.json"))[:4]
    read = [found async for found in history_files_module.read_histories(files)]
    assert [path for path, _ in read] == files
    for path, history in read:
        assert history == history_files_module.read_history(path)
    (tmp_path / "no.json").write_text("{}")
    with pytest.raises(InvalidInputError, match=r"no\.json: no recorded") as refused:
        await verify(of_files(*files, tmp_path / "no.json"), lambda *_: None)
    assert refused.value.hint is not None


async def test_code_that_does_something_else_is_told_with_run_and_event(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(RunCarrier, "_admit", _admit_later)
    file = FOLDER / "one-task.json"
    verified = await verify(of_files(file), lambda *_: None)
    (item,) = verification_view(verified, 1.0)["items"]
    assert item["source"] == str(file)
    assert (item["eventId"], item["eventType"]) == (5, "marker_recorded")
    assert item["runs"] == ["3c923817-2731-5cec-974e-e89e3f925286"]
    assert item["reason"].startswith("[TMPRL1100] Nondeterminism error: ")


async def test_a_history_of_other_commands_parts_at_that_event(tmp_path: Path):
    text = (FOLDER / "one-task.json").read_text("utf-8")
    (tmp_path / "other.json").write_text(text.replace('"name": "execute"', '"name": "other"'))
    (found,) = await verify(of_files(tmp_path, tmp_path / "other.json"), lambda *_: None)
    assert (found.event_id, found.event_type) == (7, "activity_task_scheduled")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"events": []}', '{"events": [{"eventId": 1}]}'])
async def test_a_file_that_is_no_history_is_named(tmp_path: Path, text: str):
    (tmp_path / "no.json").write_text(text)
    with pytest.raises(InvalidInputError, match=r"no\.json"):
        await verify(of_files(tmp_path), lambda *_: None)


def test_paths_without_histories_are_refused(tmp_path: Path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(NotFoundError):
            history_files([path])


def test_the_event_is_the_named_one_or_the_one_after_the_last_accepted_one():
    named = "Activity machine does not handle this event: HistoryEvent(id: 11, TimerStarted)"
    assert parting_event(named, 4) == 11
    assert parting_event("Missing associated machine for LocalActivity(1)", 4) == 5
    assert parting_event("unknown", None) is None
