"""The sync of a folder goes on after replaced folders, other applies, outages and bugs."""

import asyncio
import logging
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from activityctl import wiring
from activityctl.daemon.local import sync
from activityctl.daemon.local.sync import FolderSync
from activityctl.daemon.local.sync_status import SyncStatus, read_sync
from activityctl.domain.gitops.history import UNKNOWN_ORIGIN, Origin
from activityctl.domain.values.selection import Selection
from activityctl.operations.gitops.history import delete
from activityctl.settings import Secret, Settings

DEFINITION = """apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: note}
spec:
  params: {type: object, additionalProperties: true}
  tasks: [{name: say, command: {argv: ["true"]}}]
"""
ONE = """apiVersion: activityctl/v1
kind: Subscription
metadata: {name: one}
spec: {activity: note, params: {text: hello}}
"""


def no_origin() -> Origin:
    return UNKNOWN_ORIGIN


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "definitions"
    folder.mkdir()
    (folder / "note.yaml").write_text(DEFINITION)
    (folder / "one.yaml").write_text(ONE)
    return folder


@asynccontextmanager
async def syncing(
    settings: Settings, folder: Path, origin: Callable[[], Origin] = no_origin
) -> AsyncIterator[None]:
    task = asyncio.create_task(FolderSync(settings, folder, origin).run())
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class Observer:
    """Reads what is applied, independently of the sync."""

    def __init__(self, ports: wiring.Ports) -> None:
        self.ports = ports

    async def text(self) -> object:
        found = await self.ports.catalog.subscriptions(Selection())
        return found[0].params.get("text") if found else None

    async def until(self, text: str, seconds: float = 120) -> None:
        async with asyncio.timeout(seconds):
            while await self.text() != text:
                await asyncio.sleep(0.05)


@pytest.fixture
def observer(ports: wiring.Ports) -> Observer:
    return Observer(ports)


async def test_a_folder_that_is_deleted_and_made_again_is_watched_again(
    settings: Settings, folder: Path, observer: Observer
) -> None:
    async with syncing(settings, folder):
        await observer.until("hello")
        for turn in ("first", "second", "third"):
            make_again(folder, turn)
            await observer.until(turn)
            (folder / "one.yaml").write_text(ONE.replace("hello", f"after {turn}"))
            await observer.until(f"after {turn}")


async def test_a_symbolic_link_that_is_changed_to_another_folder_is_followed(
    settings: Settings, folder: Path, observer: Observer, tmp_path: Path
) -> None:
    link, other = tmp_path / "current", tmp_path / "other"
    link.symlink_to(folder)
    async with syncing(settings, link):
        await observer.until("hello")
        shutil.copytree(folder, other)
        (other / "one.yaml").write_text(ONE.replace("hello", "turned"))
        (tmp_path / "next").symlink_to(other)
        (tmp_path / "next").rename(link)
        await observer.until("turned")
        (other / "one.yaml").write_text(ONE.replace("hello", "after"))
        await observer.until("after")


async def test_a_change_by_others_is_undone_after_a_while(
    settings: Settings, folder: Path, observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "_SAFETY_SECONDS", 0.5)
    async with syncing(settings, folder):
        await observer.until("hello")
        deleted = await observer.ports.catalog.find_subscription("one")
        await delete(
            observer.ports.catalog,
            "Subscription",
            "one",
            lambda: deleted.updated_at,
            UNKNOWN_ORIGIN,
        )
        assert await observer.text() is None
        await observer.until("hello")


async def test_an_unreachable_database_is_tried_again_soon(
    settings: Settings,
    folder: Path,
    observer: Observer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(sync, "_RETRY_SECONDS", 0.2)
    assert settings.database_url is not None
    away = settings.database_url.value.replace("127.0.0.1", "127.0.0.2")
    local = replace(settings, uses_local_daemon=True, home=tmp_path)
    kept = FolderSync(replace(local, database_url=Secret(away)), folder, no_origin)
    task = asyncio.create_task(kept.run())
    await error_in(tmp_path, "Postgres does not answer")
    kept._settings = local  # the database is reachable again
    await observer.until("hello")
    async with asyncio.timeout(60):  # the status is written a moment after the apply
        while (status := read_sync(tmp_path)) is None or status.error is not None:
            await asyncio.sleep(0.05)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert status.summary["created"] == 2


async def test_a_bug_of_ours_does_not_end_the_sync(
    settings: Settings,
    folder: Path,
    observer: Observer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    faults = [ZeroDivisionError("odd")]

    def origin() -> Origin:
        if faults:
            raise faults.pop()
        return UNKNOWN_ORIGIN

    local = replace(settings, uses_local_daemon=True, home=tmp_path)
    with caplog.at_level(logging.INFO, logger="activityctl"):
        async with syncing(local, folder, origin):
            status = await error_in(tmp_path, "a bug in activityctl: ZeroDivisionError")
            assert status.applied_at is None
            (folder / "one.yaml").touch()
            await observer.until("hello")
    assert "sync failed" in caplog.text


async def test_without_inotify_the_folder_is_polled(
    settings: Settings, folder: Path, observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = sync.awatch

    def no_watches_left(*paths: Path, force_polling: bool | None, **options: object) -> object:
        if not force_polling:
            raise OSError(28, os.strerror(28))
        return real(*paths, force_polling=True, **options)

    monkeypatch.setattr(sync, "awatch", no_watches_left)
    async with syncing(settings, folder):
        await observer.until("hello")
        (folder / "one.yaml").write_text(ONE.replace("hello", "polled"))
        await observer.until("polled")


def make_again(folder: Path, text: str) -> None:
    """Delete and create the folder so fast that it can get the same inode."""
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "note.yaml").write_text(DEFINITION)
    (folder / "one.yaml").write_text(ONE.replace("hello", text))


async def error_in(home: Path, text: str) -> SyncStatus:
    async with asyncio.timeout(60):
        while (status := read_sync(home)) is None or text not in (status.error or ""):
            await asyncio.sleep(0.05)
    return status
