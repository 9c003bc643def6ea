"""Sync: keeps applying a folder as it changes; what applying means is an operation's.

Nothing is pruned, and a state with any problem changes nothing.
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
"""A change is applied once nothing has changed for this long."""
_AT_LATEST_MILLISECONDS: Final = 3_000
_SAFETY_SECONDS: Final = 60.0
"""The folder is applied this often whatever was heard: a change may be missed, or undone."""
_RETRY_SECONDS: Final = 5.0
"""How soon it is tried again when a server did not answer."""
_LOOK_MILLISECONDS: Final = 1_000
"""How often the folder is asked whether it is still the one that is watched."""
_LINES: Final = 20
"""How many problems are kept of one state of the folder."""


class FolderSync:
    """One folder, its subfolders included, kept applied until it is cancelled."""

    def __init__(self, settings: Settings, folder: Path, origin: Callable[[], Origin]) -> None:
        """`origin` is asked before each apply, in a thread."""
        self._settings = settings
        self._folder = folder.absolute()
        self._origin = origin
        self._kinds = wiring.known_kinds()
        self._status = SyncStatus(folder=str(self._folder))
        self._changed = asyncio.Event()
        self._patience = _SAFETY_SECONDS
        self._identity: tuple[int, int] | None = (0, 0)

    async def run(self) -> None:
        """Apply the folder now and after each change; never returns, outlives every failure."""
        self._tell(self._status)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_watching())
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._patience):
                        await self._changed.wait()
                self._changed.clear()
                await self._apply()

    async def _apply(self) -> None:
        self._patience = _SAFETY_SECONDS
        try:
            applied = await self._carry_out()
        except InvalidManifestsError as error:
            self._refused([str(problem) for problem in error.problems])
        except ActivityctlError as error:
            self._patience = _RETRY_SECONDS if error.retryable else _SAFETY_SECONDS
            self._refused([str(error)])
        except Exception as error:  # noqa: BLE001  # a daemon's outermost loop, logged
            _LOG.exception("sync failed")
            self._refused([f"a bug in activityctl: {type(error).__name__}: {error}"])
        else:
            self._carried_out(applied)

    async def _carry_out(self) -> Applied:
        manifests = await asyncio.to_thread(
            load_manifests,
            wiring.manifest_source(),
            [str(self._folder)],
            self._kinds,
            recursive=True,
        )
        origin = await asyncio.to_thread(self._origin)
        # A catalog of its own: one that is being changed must not be shared.
        async with wiring.open_ports(self._settings) as ports:
            return await apply(
                manifests,
                ports.catalog,
                ports.register,
                ports.workers,
                _now,
                timeout_seconds=0,
                origin=origin,
            )

    def _carried_out(self, applied: Applied) -> None:
        plan = applied.plan
        summary = {action.value: plan.count(action) for action in Action}
        if not plan.is_empty or self._status.applied_at is None or self._status.error:
            counts = ", ".join(f"{count} {name}" for name, count in summary.items() if count)
            _LOG.info("sync applied %s: %s", self._folder, counts)
        self._tell(
            SyncStatus(folder=str(self._folder), applied_at=_now(), summary=summary),
        )

    def _refused(self, problems: list[str]) -> None:
        shown = problems[:_LINES]
        if len(problems) > len(shown):
            shown.append(f"and {len(problems) - len(shown)} more")
        error = "\n".join(shown)
        if error != self._status.error:  # said once, not every minute
            for line in shown:
                _LOG.warning("sync: %s", line)
            _LOG.warning("sync of %s changed nothing", self._folder)
        self._tell(self._status.model_copy(update={"error": error}))

    def _tell(self, status: SyncStatus) -> None:
        self._status = status
        if not self._settings.uses_local_daemon:
            return
        try:
            write_sync(self._settings.home, status)
        except OSError as error:
            _LOG.warning("the status of the sync was not written: %s", error)

    async def _keep_watching(self) -> None:
        is_polling = False
        while True:
            try:
                await self._watch(is_polling=is_polling)
            except Exception as error:  # noqa: BLE001  # a daemon's outermost loop, logged
                if self._find() is not None:
                    # As when the machine has no watches left.
                    _LOG.warning("watching %s: %s; it is polled", self._folder, error)
                    is_polling = True
            await asyncio.sleep(_LOOK_MILLISECONDS / 1000)

    async def _watch(self, *, is_polling: bool) -> None:
        """Note changes until the folder is gone or another one has taken its place."""
        identity = self._find()
        if identity is None:
            return
        root = self._folder.resolve()
        changes = awatch(
            root,
            watch_filter=_Visible(root),
            debounce=_AT_LATEST_MILLISECONDS,
            step=_QUIET_MILLISECONDS,
            rust_timeout=_LOOK_MILLISECONDS,
            yield_on_timeout=True,
            force_polling=is_polling or None,
            ignore_permission_denied=True,
        )
        # Set before the watch begins, yet nobody runs until it has: no change falls between.
        self._changed.set()
        async with aclosing(changes):
            async for found in changes:
                if found:
                    self._changed.set()
                is_root_gone = any(Path(path) == root for _, path in found)
                if is_root_gone or self._find() != identity:
                    return

    def _find(self) -> tuple[int, int] | None:
        """Return the folder's device and inode, None for no folder; news are noted."""
        try:
            found = self._folder.stat()
            identity = (found.st_dev, found.st_ino)
        except OSError:
            identity = None
        if identity != self._identity:
            self._identity = identity
            self._changed.set()
        return identity


class _Visible:
    """Passes changes of what a folder's manifests can be among: nothing hidden, as `.git`."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)

    def __call__(self, _: Change, path: str) -> bool:
        inner = Path(path.removeprefix(self._root))
        return not any(part.startswith(".") for part in inner.parts)


def _now() -> datetime:
    return datetime.now(UTC)
