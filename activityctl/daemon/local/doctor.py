"""Check everything that a daemon or worker needs: programs, servers, schema, a worker."""

import asyncio
import os
import shutil
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Literal

import psutil

from activityctl import wiring
from activityctl.daemon.local import embedded_postgres, embedded_temporal
from activityctl.daemon.local.own_files import require_own_folder
from activityctl.daemon.local.state import lock_is_held
from activityctl.daemon.local.supervised_process import log_path
from activityctl.domain.runs.metrics_snapshot import WAITS_TOO_LONG
from activityctl.domain.tasks.strategy_wait import STRATEGY_WAIT
from activityctl.domain.values.duration import format_duration
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.selection import Selection
from activityctl.errors import ActivityctlError
from activityctl.operations.looking.secret_users import live_users
from activityctl.settings import Settings

_DISK_NEEDED: Final = 500 * 1024 * 1024
_LOGS_NEEDED: Final = 1024 * 1024
_CHECK_SECONDS: Final = 9.0
_TASKS_LOOKED_AT: Final = 1_000
_SECOND: Final = timedelta(seconds=1)
_SLOW_SECONDS: Final = 0.1
"""A round trip to Postgres that takes longer is told."""

State = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check; `hint` is the next step for a warning or a failure."""

    name: str
    state: State
    found: str
    hint: str | None = None


async def run_checks(settings: Settings) -> list[Check]:
    """Run all checks; a failed check does not stop the others. Takes some seconds at most."""
    checks = [_home(settings.home), _disk(settings.home), _code(), _ai()]
    if settings.uses_local_daemon:
        checks += [_embedded_postgres(), _embedded_temporal()]
        if not lock_is_held(settings.home):
            return [*checks, Check("daemon", "failed", "not running", "activityctl up -d")]
        checks.append(Check("daemon", "ok", f"runs for {settings.home}"))
    _load_clients()
    servers = await asyncio.gather(
        _guarded(settings, "postgres", lambda: _postgres(settings)),
        _guarded(settings, "schema", lambda: _schema(settings)),
        _guarded(settings, "worker", lambda: _worker(settings)),
        _guarded(settings, "firings", lambda: _firings(settings)),
        _guarded(settings, "runs", lambda: _runs(settings)),
        _guarded(settings, "schedules", lambda: _schedules(settings)),
        _guarded(settings, "temporal", lambda: _temporal(settings)),
        _guarded(settings, "recovery", lambda: _recovery(settings)),
        _guarded(settings, "restore", lambda: _restore(settings)),
        _guarded(settings, "transport", lambda: _transport(settings)),
        _guarded(settings, "commands", lambda: _commands(settings)),
        _guarded(settings, "secrets", lambda: _secrets(settings)),
        _guarded(settings, "strategies", lambda: _strategies(settings)),
    )
    return [*checks, *servers]


async def _secrets(settings: Settings) -> Check:
    """Check that this machine has the secrets that live definitions need, and can read its own."""
    stores = wiring.open_secrets(settings)
    place = await stores.check()
    known = {secret.name for secret in stores.known()}
    async with wiring.open_ports(settings) as ports:
        needed = await live_users(ports.catalog)
    if missing := [name for name in needed if name not in known]:
        names = ", ".join(missing)
        return Check(
            "secrets",
            "warning",
            f"missing on this machine: {names}",
            f"activityctl secrets set {missing[0]}",
        )
    return Check("secrets", "ok", f"{count_noun(len(known), 'secret')}; new ones go to {place}")


def _load_clients() -> None:
    """Import the clients first: on a busy machine that takes longer than an answer may."""
    import activityctl.adapters.postgres.database
    import activityctl.adapters.temporal.client  # noqa: F401  # loaded, not used


def _home(home: Path) -> Check:
    python = f"Python {sys.version.split()[0]}"
    folder = home if home.exists() else _existing_parent(home)
    if home.exists():
        try:
            require_own_folder(home.resolve())
        except ActivityctlError as error:
            return Check("home", "failed", str(error), error.hint)
    if os.access(folder, os.W_OK):
        return Check("home", "ok", f"{home} ({python})")
    return Check("home", "failed", f"{folder} cannot be written", "set ACTIVITYCTL_HOME")


def _disk(home: Path) -> Check:
    logs = shutil.disk_usage(_existing_parent(home / "logs")).free
    if logs < _LOGS_NEEDED:
        hint = f"free space for {home / 'logs'}; the daemon runs, but cannot write its logs"
        return Check("disk", "failed", f"{logs // 1024**2} MiB free for the logs", hint)
    free = shutil.disk_usage(_existing_parent(home)).free
    text = f"{free // 1024**2} MiB free"
    if free >= _DISK_NEEDED:
        return Check("disk", "ok", text)
    return Check("disk", "failed", text, f"free {_DISK_NEEDED // 1024**2} MiB for {home}")


def _existing_parent(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _code() -> Check:
    """Say whether tasks of the kind `code` can run here; most installations need none."""
    libraries = {"Python": "pydantic_monty", "JavaScript": "py_mini_racer"}
    here = [name for name, module in libraries.items() if find_spec(module) is not None]
    found = " and ".join(here) or "not installed; code tasks need activityctl[code]"
    return Check("code", "ok", found)


def _ai() -> Check:
    """Say whether tasks of the kind `ai` can run here; most installations need none."""
    here = [name for name in ("openai", "anthropic") if find_spec(name) is not None]
    found = " and ".join(here) or "not installed; ai tasks need activityctl[ai]"
    return Check("ai", "ok", found)


def _embedded_postgres() -> Check:
    try:
        return Check("embedded postgres", "ok", str(embedded_postgres.find_binaries()))
    except ActivityctlError as error:
        return Check("embedded postgres", "failed", str(error), error.hint)


def _embedded_temporal() -> Check:
    try:
        return Check("embedded temporal", "ok", str(embedded_temporal.find_binary()))
    except ActivityctlError as error:
        return Check("embedded temporal", "failed", str(error), error.hint)


async def _guarded(settings: Settings, name: str, check: Callable[[], Awaitable[Check]]) -> Check:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            return await check()
    except ActivityctlError as error:
        is_circular = error.hint in {None, "activityctl doctor"}
        hint = _server_hint(settings, name) if is_circular else error.hint
        return Check(name, "failed", str(error), hint)
    except TimeoutError:
        return Check(name, "failed", "no answer in time", _server_hint(settings, name))


def _server_hint(settings: Settings, name: str) -> str:
    """Return what to do about a server that does not answer."""
    if not settings.uses_local_daemon:
        return (
            "start the server if it does not run, or correct its address: activityctl config show"
        )
    server = name if name in {"postgres", "temporal", "worker"} else "postgres"
    return f"read {log_path(settings.home, server)}"


async def _postgres(settings: Settings) -> Check:
    async with wiring.open_ports(settings) as ports:
        waiting = await ports.outbox.waiting()
        round_trip = min([await _seconds_to_answer(ports) for _ in range(3)])
    firings = count_noun(waiting, "firing waits", "firings wait")
    found = f"answers in {round_trip * 1000:.0f} ms; {firings} to start"
    if round_trip < _SLOW_SECONDS:
        return Check("postgres", "ok", found)
    hint = "run the workers near Postgres: a run waits for it several times"
    return Check("postgres", "warning", f"slow: {found}", hint)


async def _seconds_to_answer(ports: wiring.Ports) -> float:
    began = time.monotonic()
    await ports.workers.server_time()
    return time.monotonic() - began


async def _schema(settings: Settings) -> Check:
    from activityctl.adapters.postgres.schema.version import read_schema_versions

    versions = await read_schema_versions(await wiring.database_url(settings))
    if versions.are_equal:
        return Check("schema", "ok", f"version {versions.database}")
    found = f"version {versions.database or 'none'}, this package needs {versions.package}"
    if versions.is_newer:
        return Check(
            "schema", "failed", found, "install the version of activityctl that migrated it"
        )
    is_ours = settings.uses_local_daemon
    hint = "activityctl down && activityctl up -d" if is_ours else "activityctl worker --migrate"
    return Check("schema", "failed", found, hint)


async def _firings(settings: Settings) -> Check:
    async with wiring.open_ports(settings) as ports:
        figures = await ports.metrics.snapshot()
        failing = await ports.outbox.failing()
    if failing is not None:
        found = f"{failing.count} could not be started: {failing.last_error}"
        return Check("firings", "failed", found, _worker_log(settings))
    due, lag = figures.firings.get("due", 0), figures.due_lag
    if lag <= WAITS_TOO_LONG:
        return Check("firings", "ok", f"{due} due")
    found = f"{due} due, the oldest for {format_duration(lag // _SECOND * _SECOND)}"
    return Check("firings", "failed", found, _worker_log(settings))


async def _runs(settings: Settings) -> Check:
    async with wiring.open_ports(settings) as ports:
        stuck = await ports.stuck_runs.summary()
    if stuck is None:
        return Check("runs", "ok", "none is stuck")
    found = f"{count_noun(stuck.count, 'run is', 'runs are')} stuck: {stuck.last_reason}"
    return Check("runs", "failed", found, "run a worker of the version that began them")


async def _schedules(settings: Settings) -> Check:
    async with wiring.open_ports(settings) as ports:
        refused = (await ports.metrics.snapshot()).schedules.get("error", 0)
    if not refused:
        return Check("schedules", "ok", "Temporal refuses none")
    found = f"Temporal refuses {count_noun(refused, 'schedule', 'schedules')}"
    return Check("schedules", "failed", found, "activityctl get schedules")


async def _strategies(settings: Settings) -> Check:
    """Look for tasks whose strategy no worker has, among the newest open ones."""
    open_tasks = Selection(statuses=("pending", "running"), limit=_TASKS_LOOKED_AT)
    async with wiring.open_ports(settings) as ports:
        tasks = await ports.run_lists.tasks(open_tasks)
    held = [task.reason for task in tasks if (task.reason or "").startswith(STRATEGY_WAIT)]
    if not held:
        return Check("strategies", "ok", "no task waits for one")
    names = sorted({str(reason).removeprefix(STRATEGY_WAIT).partition(" (")[0] for reason in held})
    found = f"{count_noun(len(held), 'task waits', 'tasks wait')} for a worker with {names[0]}"
    return Check("strategies", "warning", found, "install the strategy where a worker runs")


def _worker_log(settings: Settings) -> str:
    if settings.uses_local_daemon:
        return f"read {log_path(settings.home, 'worker')}"
    return "read the worker's log"


async def _worker(settings: Settings) -> Check:
    async with wiring.open_ports(settings) as ports:
        alive = await ports.workers.alive()
    if not alive:
        is_ours = settings.uses_local_daemon
        hint = _worker_log(settings) if is_ours else "activityctl worker"
        return Check("worker", "failed", "none is running", hint)
    troubles = [trouble for worker in alive for trouble in worker.troubles]
    if troubles:
        found = "; ".join(f"loop {bad.loop} fails: {bad.error}" for bad in troubles)
        return Check("worker", "failed", found, _worker_log(settings))
    return Check("worker", "ok", ", ".join(f"{worker.host} pid {worker.pid}" for worker in alive))


async def _commands(settings: Settings) -> Check:
    """Warn of a worker on this machine that runs as root; of others nothing is known."""
    async with wiring.open_ports(settings) as ports:
        alive = await ports.workers.alive()
    here = [worker.pid for worker in alive if worker.host == socket.gethostname()]
    if not any(_is_of_root(pid) for pid in here):
        return Check("commands", "ok", "no worker on this machine runs as root")
    hint = "run the worker as another account, or set `user:` in each command"
    return Check("commands", "warning", "a worker runs as root, and its commands with it", hint)


def _is_of_root(pid: int) -> bool:
    with suppress(psutil.Error):
        return psutil.Process(pid).uids().effective == 0
    return False


async def _temporal(settings: Settings) -> Check:
    await wiring.connect_temporal(settings)
    return Check("temporal", "ok", f"answers at {settings.temporal_address}")


async def _recovery(settings: Settings) -> Check:
    """Compare the open runs with Temporal. While it does not answer, its own check says so."""
    from activityctl.operations.runs.recover import Recovery

    client = await wiring.connect_temporal(settings)
    async with wiring.open_ports(settings) as ports:
        starter = wiring.build_starter(client)
        lost = await Recovery(
            ports.unfinished, ports.stuck_runs, starter, ports.logbook, _now
        ).find()
    if lost.is_empty:
        return Check("recovery", "ok", "Temporal knows every open run")
    runs = count_noun(len(lost.runs), "open run has", "open runs have")
    firings = count_noun(len(lost.firings), "started firing has", "started firings have")
    found = f"{runs} no workflow in Temporal, {firings} no run"
    return Check("recovery", "failed", found, "activityctl recover")


def _now() -> datetime:
    return datetime.now(UTC)


async def _restore(settings: Settings) -> Check:
    """Say whether the database was restored from a backup, and Temporal brought together with it.

    The workflows that were ended are in the log of the worker that did it.
    """
    async with wiring.open_ports(settings) as ports:
        latest = await ports.restores.latest()
    if latest is None:
        return Check("restore", "ok", "the database was never restored from a backup")
    found = f"restored at {latest.restored_at:%Y-%m-%d %H:%M} UTC from a backup of "
    found += f"{latest.taken_at:%Y-%m-%d %H:%M} UTC"
    if latest.settled_at is None:
        found += ", and no worker has brought Temporal together with it yet"
        return Check("restore", "warning", found, "start a worker, or: activityctl recover")
    count = count_noun(latest.ended_count, "workflow", "workflows")
    return Check("restore", "ok", f"{found}; ended {count} of Temporal that it does not know")


async def _transport(settings: Settings) -> Check:
    """Warn if somebody on the network can read or change what is sent."""
    problems = await wiring.unprotected_connections(settings)
    if not problems:
        return Check("transport", "ok", "every connection is local or checked by TLS")
    hints = {
        "postgres": "set sslmode=verify-full in the URL, and sslrootcert=FILE for your own CA",
        "temporal": "use TLS: set TEMPORAL_TLS=true, or tls in temporal.toml",
    }
    found = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
    return Check("transport", "warning", found, "; ".join(hints[name] for name in problems))
