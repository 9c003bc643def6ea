"""Check everything that a daemon or worker needs: programs, servers, schema, a worker."""

import asyncio
import shlex
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

import psutil

from activityctl import wiring
from activityctl.daemon.local import judgements, temporal_checks
from activityctl.daemon.local.check import Check
from activityctl.daemon.local.machine_checks import machine_checks
from activityctl.daemon.local.state import RESTART, UNSUPERVISED, lock_is_held, read_status
from activityctl.daemon.local.supervised_process import log_path
from activityctl.daemon.local.temporal_checks import SEARCH, Compare
from activityctl.domain.chain.keys import KeyKind
from activityctl.domain.runs.stuck import advice_on
from activityctl.domain.tasks.strategy_wait import STRATEGY_WAIT
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.selection import Selection
from activityctl.errors import ActivityctlError
from activityctl.operations.looking.key_users import key_views, live_key_users
from activityctl.operations.looking.overview import auto_paused
from activityctl.operations.looking.relayers import relayer_views
from activityctl.operations.looking.secret_users import live_users
from activityctl.settings import Settings
from activityctl.version import VERSION

_CHECK_SECONDS: Final = 9.0
_TASKS_LOOKED_AT: Final = 1_000
_SLOW_SECONDS: Final = 0.1
"""A round trip to Postgres that takes longer is told."""
_SILENCE: Final = "no answer in time"


async def run_checks(settings: Settings, compare: Compare) -> list[Check]:
    """Run all checks; a failed check does not stop the others. Takes some seconds at most.

    `compare` finds in what Temporal differs from Postgres, and changes nothing.
    """
    checks = machine_checks(settings.home, has_servers=settings.uses_local_daemon)
    if settings.uses_local_daemon:
        daemon, has_components = daemon_check(settings.home)
        checks.append(daemon)
        if not has_components:
            return checks
    _load_clients()
    async with _Postgres(settings) as shared:
        servers = await asyncio.gather(
            _guarded(settings, "postgres", lambda: _postgres(settings)),
            _guarded(settings, "schema", lambda: _schema(settings)),
            _guarded(settings, "worker", lambda: _worker(settings, shared)),
            _guarded(settings, "runs", lambda: _runs(shared)),
            _guarded(settings, "temporal", lambda: temporal_checks.version(settings)),
            _guarded(settings, SEARCH, lambda: temporal_checks.search_attributes(settings)),
            _guarded(settings, "recovery", lambda: temporal_checks.recovery(settings, compare)),
            _guarded(settings, "restore", lambda: _restore(shared)),
            _guarded(settings, "transport", lambda: _transport(settings)),
            _guarded(settings, "commands", lambda: _commands(shared)),
            _guarded(settings, "secrets", lambda: _secrets(settings, shared)),
            _guarded(settings, "keys", lambda: _keys(settings, shared)),
            _guarded(settings, "relayers", lambda: _relayers(settings, shared)),
            _guarded(settings, "signer", lambda: _signer(settings)),
            _guarded(settings, "strategies", lambda: _strategies(shared)),
        )
        return [*checks, *without_echoes([*servers, *await _figures(settings, shared)])]


def daemon_check(home: Path) -> tuple[Check, bool]:
    """Return the check of the local daemon, and whether any of its components may answer.

    The components go on if their supervisor is killed.
    """
    if lock_is_held(home):
        return Check("daemon", "ok", f"runs for {home}"), True
    if any(part.pid for part in read_status(home)):
        return Check("daemon", "failed", UNSUPERVISED, RESTART), True
    return Check("daemon", "failed", "not running", "activityctl up -d"), False


class _Postgres:
    """One connection that checks share; each of them fails if it cannot be opened."""

    def __init__(self, settings: Settings) -> None:
        self._stack = AsyncExitStack()
        self._settings = settings

    async def __aenter__(self) -> Self:
        self._opening = asyncio.create_task(
            self._stack.enter_async_context(wiring.open_ports(self._settings))
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        with suppress(ActivityctlError):
            await self._opening
        await self._stack.aclose()

    async def ports(self) -> wiring.Ports:
        """Return the ports; raises why they could not be opened."""
        return await asyncio.shield(self._opening)


def without_echoes(checks: Sequence[Check]) -> list[Check]:
    """Return the checks; those that fail only because Postgres does are skipped."""
    cause = next((check for check in checks if check.name == "postgres"), None)
    if cause is None or cause.state != "failed":
        return list(checks)
    return [
        replace(check, state="skipped", found="needs Postgres", hint=None)
        if check is not cause and check.state == "failed" and check.found in {cause.found, _SILENCE}
        else check
        for check in checks
    ]


async def _figures(settings: Settings, shared: _Postgres) -> list[Check]:
    """Judge what Postgres counts."""
    found: list[Check] = []

    async def read() -> Check:
        ports = await shared.ports()
        figures, failing, alive, report = await asyncio.gather(
            ports.metrics.snapshot(),
            ports.outbox.failing(),
            ports.workers.alive(),
            ports.storage.report(),
        )
        log = _worker_log(settings)
        found.append(judgements.firings(figures, failing, log))
        found.append(judgements.schedules(figures, log))
        found.append(judgements.dead_letters(figures))
        found.append(judgements.breakers(figures))
        found.append(judgements.late_runs(figures))
        found.append(judgements.auto_paused(await auto_paused(ports.catalog, figures)))
        found.append(judgements.versions(VERSION, alive, _restart(settings)))
        keeps_events = not settings.event_retention
        found.append(judgements.retention(report, settings.retention, keeps_events))
        before = _now()
        server = await ports.workers.server_time()
        return judgements.clock(before + (_now() - before) / 2 - server)

    last = await _guarded(settings, "figures", read)
    return [*found, last]


def _restart(settings: Settings) -> str:
    if settings.uses_local_daemon:
        return RESTART
    return f"restart those workers with activityctl {VERSION}, or install their version here"


async def _keys(settings: Settings, shared: _Postgres) -> Check:
    """Check that this machine has the keys that live definitions need, and can read its own."""
    stores = wiring.open_keys(settings)
    place = await stores.check()
    needed = key_views(await live_key_users((await shared.ports()).catalog), stores.known())
    if missing := [key for key in needed if not key["isFoundHere"]]:
        first = missing[0]
        return Check(
            "keys",
            "warning",
            f"missing on this machine: {', '.join(key['name'] for key in missing)}",
            f"activityctl keys create {first['name']} --kind {first['kind']}",
        )
    return Check("keys", "ok", f"{count_noun(len(stores.known()), 'key')}; new ones go to {place}")


async def _relayers(settings: Settings, shared: _Postgres) -> Check:
    known, ports = wiring.open_keys(settings).known(), await shared.ports()
    async with wiring.open_chains(settings, wiring.open_secrets(settings)) as chains:
        views = await relayer_views(ports.catalog, ports.relays, chains, known)
    return judgements.relayers(views)


async def _signer(settings: Settings) -> Check:
    """Check that the signer answers, if there is a key of an account to sign with."""
    if not wiring.needs_signer(settings):
        return Check("signer", "ok", "not needed: there is no key of an account")
    await wiring.open_signer(settings).addresses((), KeyKind.RELAYER)
    return Check("signer", "ok", "answers")


async def _secrets(settings: Settings, shared: _Postgres) -> Check:
    """Check that this machine has the secrets that live definitions need, and can read its own."""
    stores = wiring.open_secrets(settings)
    place = await stores.check()
    known = {secret.name for secret in stores.known()}
    needed = await live_users((await shared.ports()).catalog)
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


async def _guarded(settings: Settings, name: str, check: Callable[[], Awaitable[Check]]) -> Check:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            return await check()
    except ActivityctlError as error:
        is_circular = error.hint in {None, "activityctl doctor"}
        hint = _server_hint(settings, name) if is_circular else error.hint
        return Check(name, "failed", str(error), hint)
    except TimeoutError:
        return Check(name, "failed", _SILENCE, _server_hint(settings, name))


def _server_hint(settings: Settings, name: str) -> str:
    """Return what to do about a server that does not answer."""
    if not settings.uses_local_daemon:
        return (
            "start the server if it does not run, or correct its address: activityctl config show"
        )
    server = name if name in {"postgres", "temporal", "worker", "signer"} else "postgres"
    return _show_log(settings, server)


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


async def _runs(shared: _Postgres) -> Check:
    stuck = await (await shared.ports()).stuck_runs.summary()
    if stuck is None:
        return Check("runs", "ok", "none is stuck")
    found = f"{count_noun(stuck.count, 'run is', 'runs are')} stuck: {stuck.last_reason}"
    return Check("runs", "failed", found, advice_on(stuck.last_reason, stuck.count))


async def _strategies(shared: _Postgres) -> Check:
    """Look for tasks whose strategy no worker has, among the newest open ones."""
    open_tasks = Selection(statuses=("pending", "running"), limit=_TASKS_LOOKED_AT)
    tasks = await (await shared.ports()).run_lists.tasks(open_tasks)
    held = [task.reason for task in tasks if (task.reason or "").startswith(STRATEGY_WAIT)]
    if not held:
        return Check("strategies", "ok", "no task waits for one")
    names = sorted({str(reason).removeprefix(STRATEGY_WAIT).partition(" (")[0] for reason in held})
    found = f"{count_noun(len(held), 'task waits', 'tasks wait')} for a worker with {names[0]}"
    return Check("strategies", "warning", found, "install the strategy where a worker runs")


def _worker_log(settings: Settings) -> str:
    if settings.uses_local_daemon:
        return _show_log(settings, "worker")
    return "read the worker's log"


def _show_log(settings: Settings, component: str) -> str:
    return f"tail -n 50 {shlex.quote(str(log_path(settings.home, component)))}"


async def _worker(settings: Settings, shared: _Postgres) -> Check:
    alive = await (await shared.ports()).workers.alive()
    if not alive:
        is_ours = settings.uses_local_daemon
        hint = _worker_log(settings) if is_ours else "activityctl worker"
        return Check("worker", "failed", "none is running", hint)
    troubles = [trouble for worker in alive for trouble in worker.troubles]
    if troubles:
        found = "; ".join(f"loop {bad.loop} fails: {bad.error}" for bad in troubles)
        return Check("worker", "failed", found, _worker_log(settings))
    return Check("worker", "ok", ", ".join(f"{worker.host} pid {worker.pid}" for worker in alive))


async def _commands(shared: _Postgres) -> Check:
    """Warn of a worker on this machine that runs as root; of others nothing is known."""
    alive = await (await shared.ports()).workers.alive()
    here = [worker.pid for worker in alive if worker.host == socket.gethostname()]
    if not any(_is_of_root(pid) for pid in here):
        return Check("commands", "ok", "no worker on this machine runs as root")
    hint = "run the worker as another account, or set `user:` in each command"
    return Check("commands", "warning", "a worker runs as root, and its commands with it", hint)


def _is_of_root(pid: int) -> bool:
    with suppress(psutil.Error):
        return psutil.Process(pid).uids().effective == 0
    return False


def _now() -> datetime:
    return datetime.now(UTC)


async def _restore(shared: _Postgres) -> Check:
    """Say whether the database was restored from a backup, and Temporal brought together with it.

    The workflows that were ended are in the log of the worker that did it.
    """
    latest = await (await shared.ports()).restores.latest()
    if latest is None:
        return Check("restore", "ok", "the database was never restored from a backup")
    found = f"restored at {latest.restored_at:%Y-%m-%d %H:%M} UTC from a backup of "
    found += f"{latest.taken_at:%Y-%m-%d %H:%M} UTC"
    if latest.settled_at is None:
        found += ", and no worker has brought Temporal together with it yet"
        return Check("restore", "warning", found, "activityctl recover")
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
