"""Apply a folder of manifests after each change in it.

It never prunes. While any manifest of the folder has a problem, nothing is applied.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from watchfiles import Change, awatch

from activityctl import wiring
from activityctl.daemon.local.sync_status import SyncStatus, write_sync
from activityctl.domain.gitops.history import Origin
from activityctl.domain.gitops.plan import Action
from activityctl.errors import ActivityctlError, InvalidManifestsError
from activityctl.operations.gitops.apply import Applied, apply
from activityctl.operations.gitops.load import load_manifests
from activityctl.settings import Settings

_LOG = logging.getLogger(__name__)
_QUIET_MILLISECONDS: Final = 300
"""The folder is applied after a change once nothing has changed for this long."""
_AT_LATEST_MILLISECONDS: Final = 3_000
"""The folder is applied at the latest this long after a change, also if changes go on."""
_SAFETY_SECONDS: Final = 60.0
"""The folder is applied at least this often: a notification can be missed, and live objects
can be changed by others."""
_RETRY_SECONDS: Final = 5.0
"""Seconds until the next try when a server did not answer."""
_LOOK_MILLISECONDS: Final = 1_000
"""How often to check that the watched folder was not replaced by another."""
_MOST_PROBLEMS: Final = 20
"""How many problems are logged and kept in the status."""


class FolderSync:
    """Applies a folder with its subfolders, now and after each change, until it is cancelled."""

    def __init__(self, settings: Settings, folder: Path, origin: Callable[[], Origin]) -> None:
        """`origin` is called before each apply, in a thread."""
        self._settings = settings
        self._folder = folder.absolute()
        self._origin = origin
        self._kinds = wiring.known_kinds()
        self._status = SyncStatus(folder=str(self._folder))
        self._changed = asyncio.Event()
        self._next_in = _SAFETY_SECONDS
        """Seconds until the folder is applied without a change."""
        self._identity: tuple[int, int] | None = (0, 0)
        """Device and inode of the folder; None when there is no folder."""

    async def run(self) -> None:
        """Apply the folder now and after each change; log failures and never return."""
        self._write_status(self._status)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_watching())
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._next_in):
                        await self._changed.wait()
                self._changed.clear()
                await self._apply()

    async def _apply(self) -> None:
        self._next_in = _SAFETY_SECONDS
        try:
            applied = await self._load_and_apply()
        except InvalidManifestsError as error:
            self._report_failure([str(problem) for problem in error.problems])
        except ActivityctlError as error:
            self._next_in = _RETRY_SECONDS if error.retryable else _SAFETY_SECONDS
            self._report_failure([str(error)])
        except Exception as error:  # noqa: BLE001  # a daemon's outermost loop, logged
            _LOG.exception("sync failed")
            self._report_failure([f"a bug in activityctl: {type(error).__name__}: {error}"])
        else:
            self._report_success(applied)

    async def _load_and_apply(self) -> Applied:
        manifests = await asyncio.to_thread(
            load_manifests,
            wiring.manifest_source(),
            [str(self._folder)],
            self._kinds,
            recursive=True,
        )
        origin = await asyncio.to_thread(self._origin)
        # Open a catalog for this apply only: a catalog in a transaction must not be shared.
        async with wiring.open_ports(self._settings) as ports:
            now = await ports.workers.server_time()
            return await apply(
                manifests,
                ports.catalog,
                ports.register,
                ports.workers,
                lambda: now,
                timeout_seconds=0,
                origin=origin,
            )

    def _report_success(self, applied: Applied) -> None:
        plan = applied.plan
        summary = {action.value: plan.count(action) for action in Action}
        if not plan.is_empty or self._status.applied_at is None or self._status.error:
            counts = ", ".join(f"{count} {name}" for name, count in summary.items() if count)
            _LOG.info("sync applied %s: %s", self._folder, counts)
        self._write_status(
            SyncStatus(folder=str(self._folder), applied_at=_now(), summary=summary),
        )

    def _report_failure(self, problems: list[str]) -> None:
        shown = problems[:_MOST_PROBLEMS]
        if len(problems) > len(shown):
            shown.append(f"and {len(problems) - len(shown)} more")
        error = "\n".join(shown)
        if error != self._status.error:  # logged once, not every minute
            for line in shown:
                _LOG.warning("sync: %s", line)
            _LOG.warning("sync of %s changed nothing", self._folder)
        self._write_status(self._status.model_copy(update={"error": error}))

    def _write_status(self, status: SyncStatus) -> None:
        self._status = status
        if not self._settings.uses_local_daemon:
            return
        try:
            write_sync(self._settings.home, status)
        except OSError as error:
            _LOG.warning("could not write the status of the sync: %s", error)

    async def _keep_watching(self) -> None:
        is_polling = False
        while True:
            try:
                await self._watch(is_polling=is_polling)
            except Exception as error:  # noqa: BLE001  # a daemon's outermost loop, logged
                if self._find() is not None:
                    # For example when the machine has no file watches left.
                    _LOG.warning(
                        "could not watch %s: %s; it is polled instead", self._folder, error
                    )
                    is_polling = True
            await asyncio.sleep(_LOOK_MILLISECONDS / 1000)

    async def _watch(self, *, is_polling: bool) -> None:
        """Set `_changed` on each change; return when the folder is gone or was replaced."""
        identity = self._find()
        if identity is None:
            return
        root = self._folder.resolve()
        changes = awatch(
            root,
            watch_filter=_NotHidden(root),
            debounce=_AT_LATEST_MILLISECONDS,
            step=_QUIET_MILLISECONDS,
            rust_timeout=_LOOK_MILLISECONDS,
            yield_on_timeout=True,
            force_polling=is_polling or None,
            ignore_permission_denied=True,
        )
        # The apply that this starts runs only after the watch has begun, so no change is missed.
        self._changed.set()
        async with aclosing(changes):
            async for found in changes:
                if found:
                    self._changed.set()
                is_root_gone = any(Path(path) == root for _, path in found)
                if is_root_gone or self._find() != identity:
                    return

    def _find(self) -> tuple[int, int] | None:
        """Return the folder's device and inode, or None; set `_changed` if they are new."""
        try:
            found = self._folder.stat()
            identity = (found.st_dev, found.st_ino)
        except OSError:
            identity = None
        if identity != self._identity:
            self._identity = identity
            self._changed.set()
        return identity


class _NotHidden:
    """Accepts changes of files that can be manifests, not those in hidden folders like `.git`."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)

    def __call__(self, _: Change, path: str) -> bool:
        inner = Path(path.removeprefix(self._root))
        return not any(part.startswith(".") for part in inner.parts)


def _now() -> datetime:
    return datetime.now(UTC)
