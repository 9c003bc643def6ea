"""The local daemon: one home, one supervisor, which starts, keeps and stops all components.

What the components are beside the two servers is the caller's choice. Applying manifests and
talking to people are not here.
"""

import asyncio
import logging
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from activityctl.daemon.local import embedded_postgres, embedded_temporal
from activityctl.daemon.local.state import (
    ComponentStatus,
    DaemonState,
    HomeLock,
    all_stopped,
    component_of,
    find_process,
    lock_holder,
    lock_is_held,
    open_home,
    process_identity,
    read_state,
    surviving_processes,
    write_state,
)
from activityctl.daemon.local.supervised_process import (
    MARKER,
    Endings,
    LaunchSpec,
    SupervisedProcess,
    child_environment,
    choose_ports,
    end_processes,
    is_free,
    last_lines,
    log_path,
    open_log,
    orphan_processes,
)
from activityctl.daemon.signals import on_stop_signal
from activityctl.errors import UnreachableError, WaitTimeoutError

LOGGER = logging.getLogger(__name__)

PORT_TRIES: Final = 5
KILL_SECONDS: Final = 5.0
SUPERVISOR: Final = "supervisor"
SERVERS: Final = (embedded_postgres.NAME, embedded_temporal.NAME)
SERVER_VARIABLES: Final = ("PATH", "TMPDIR")
Addresses = Mapping[str, str]


async def _at_once(_: Addresses) -> bool:
    """Answer that a process which runs is ready."""
    return True


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """A component beside the two servers, such as the worker or the API."""

    name: str
    command: tuple[str, ...]
    """An argument's `{port}` becomes the port that the child serves on loopback."""
    listens: bool = False
    """Whether it gets a port; its URL then stands under its name in the addresses."""
    ready: Callable[[Addresses], Awaitable[bool]] = _at_once
    """Asked until true, after the port of a listening child answers."""
    ready_within: float = 30.0
    drain: float = 20.0
    """Seconds between SIGTERM and SIGKILL."""
    version: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the caller does at the turns of the daemon's life."""

    migrate: Callable[[str], Awaitable[None]]
    """Given the database's URL, before any child starts."""
    on_ready: Callable[[DaemonState], Awaitable[None]] | None = None
    """Awaited once, when everything runs."""


async def supervise(
    home: Path, children: Sequence[ChildSpec], hooks: Hooks, environment: Mapping[str, str]
) -> None:
    """Run the daemon of a home until SIGTERM, SIGINT or SIGHUP; a second signal hurries.

    Starts Postgres and Temporal, migrates, then starts the children together. Stops in the
    opposite order and leaves no process, also when a start fails. `environment` is the
    user's, from which the children's is made.

    Raises ConflictError when a daemon of this home runs already, UnreachableError with the
    reason when a component cannot be started; what the hooks raise passes through.
    """
    home = open_home(home)
    with HomeLock(home):
        daemon = _Daemon(home, children, hooks, environment)
        with on_stop_signal(daemon.on_signal):
            await daemon.run()


class _Daemon:
    """The components of one life of the daemon."""

    def __init__(
        self,
        home: Path,
        specs: Sequence[ChildSpec],
        hooks: Hooks,
        environment: Mapping[str, str],
    ) -> None:
        self._home = home
        self._specs = specs
        self._environment = environment
        self._hooks = hooks
        self._former = read_state(home)
        self._ports = dict(self._former.ports)
        self._addresses: dict[str, str] = {}
        self._supervisor = process_identity(os.getpid())
        names = [*SERVERS, *(spec.name for spec in specs)]
        self._children: dict[str, SupervisedProcess | None] = dict.fromkeys(names)
        self._components = {name: ComponentStatus(name=name) for name in names}
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()

    def on_signal(self) -> None:
        """Ask for a stop, or for a quicker one."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def run(self) -> None:
        """Start everything, wait for a signal, stop everything."""
        start = asyncio.create_task(self._start())
        asked = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({start, asked}, return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                start.result()
                await asked
        finally:
            start.cancel()
            asked.cancel()
            await asyncio.gather(start, asked, return_exceptions=True)
            await self._stop_all()

    async def _start(self) -> None:
        await asyncio.to_thread(end_surviving_processes, self._home, self._former)
        self._publish()
        await _together(self._start_postgres(), self._start_temporal())
        cluster = self._cluster()
        await self._hooks.migrate(cluster.database_url)
        self._addresses |= {
            "database_url": cluster.database_url,
            "temporal_address": f"127.0.0.1:{self._ports['temporal']}",
            "temporal_ui": f"http://127.0.0.1:{self._ports['temporal_ui']}",
        }
        for spec in self._specs:
            self._place(spec)
        self._publish()
        await _together(*(self._start_child(spec) for spec in self._specs))
        if self._hooks.on_ready is not None:
            await self._hooks.on_ready(self._state())

    async def _start_postgres(self) -> None:
        name = embedded_postgres.NAME
        await self._bring_up(
            name, (name,), lambda: embedded_postgres.postgres_launch_spec(self._cluster())
        )

    async def _start_temporal(self) -> None:
        environment = self._server_environment()

        async def launch() -> LaunchSpec:
            return await embedded_temporal.temporal_launch_spec(
                self._home, self._ports, environment
            )

        await self._bring_up(embedded_temporal.NAME, embedded_temporal.PORTS, launch)

    async def _start_child(self, spec: ChildSpec) -> None:
        ports = (spec.name,) if spec.listens else ()
        await self._bring_up(spec.name, ports, lambda: self._child_launch(spec))

    async def _bring_up(
        self, name: str, ports: tuple[str, ...], launch: Callable[[], Awaitable[LaunchSpec]]
    ) -> None:
        for attempt in range(PORT_TRIES):
            self._ports |= choose_ports({key: self._ports.get(key) for key in ports}, self._ports)
            child = SupervisedProcess(await launch(), self._hear)
            self._children[name] = child
            try:
                await child.start()
            except UnreachableError:
                taken = not all(is_free(self._ports[key]) for key in ports)
                if not taken or attempt == PORT_TRIES - 1:
                    raise
            else:
                return
            LOGGER.warning("%s lost its port to another process, trying others", name)

    def _place(self, spec: ChildSpec) -> None:
        """Choose a listening child's port, so that its siblings find its address at once."""
        if spec.listens:
            if spec.name not in self._ports:
                self._ports |= choose_ports({spec.name: None}, self._ports)
            self._addresses[spec.name] = f"http://127.0.0.1:{self._ports[spec.name]}"

    async def _child_launch(self, spec: ChildSpec) -> LaunchSpec:
        self._place(spec)
        port = self._ports[spec.name] if spec.listens else None
        address = self._addresses.get(spec.name)
        endings: Endings = ((signal.SIGTERM, spec.drain), (signal.SIGKILL, 5.0))

        async def ready() -> bool:
            if port is not None:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
            return await spec.ready(dict(self._addresses))

        return LaunchSpec(
            name=spec.name,
            home=self._home,
            command=tuple(part.replace("{port}", str(port)) for part in spec.command),
            environment={**child_environment(self._home, self._environment), **spec.environment},
            ready=ready,
            ready_within=spec.ready_within,
            endings=endings,
            version=spec.version,
            address=address,
        )

    async def _stop_all(self) -> None:
        for child in reversed(self._children.values()):
            if child is not None:
                try:
                    await child.stop(self._hurry)
                except Exception:
                    LOGGER.exception("stopping a component failed")
        await asyncio.to_thread(end_surviving_processes, self._home, self._state())
        self._addresses = {}
        self._supervisor = None
        parts = all_stopped(tuple(self._components.values()))
        self._components = {part.name: part for part in parts}
        self._publish()

    def _hear(self, status: ComponentStatus) -> None:
        self._components[status.name] = status
        self._publish()

    def _publish(self) -> None:
        try:
            write_state(self._home, self._state())
        except OSError:  # a full disk may not end the daemon
            LOGGER.exception("telling the daemon's state failed")

    def _state(self) -> DaemonState:
        return DaemonState(
            supervisor=self._supervisor,
            components=tuple(self._components.values()),
            addresses=dict(self._addresses),
            ports=dict(self._ports),
        )

    def _cluster(self) -> embedded_postgres.Cluster:
        port = self._ports[embedded_postgres.NAME]
        return embedded_postgres.Cluster(self._home, port, self._server_environment())

    def _server_environment(self) -> dict[str, str]:
        kept = {key: self._environment.get(key, "") for key in SERVER_VARIABLES}
        return {**{k: v for k, v in kept.items() if v}, "HOME": str(self._home), "LC_ALL": "C"}


def end_surviving_processes(home: Path, state: DaemonState) -> tuple[ComponentStatus, ...]:
    """End what an earlier daemon of this home left alive; return the components it was.

    The servers outlive the rest, so that what drains can still write. Call it only while
    the home's lock is held.
    """
    owners = orphan_processes(home)
    ended = []
    for process in surviving_processes(state):
        if (part := component_of(state, process.pid)) is not None:
            owners[process] = part.name
            ended.append(part)
    end_processes([process for process, name in owners.items() if name not in SERVERS])
    end_processes([p for p, name in owners.items() if name == embedded_temporal.NAME])
    embedded_postgres.end_server(home / "postgres")
    end_processes(orphan_processes(home))
    return tuple(ended)


def stop_daemon(home: Path, timeout: float = 60.0) -> tuple[ComponentStatus, ...]:
    """Stop the daemon of a home, or what is left of one; return what lived, the supervisor first.

    After `timeout` seconds the supervisor is killed and its components are ended directly.
    Raises WaitTimeoutError when it holds on even then, as in another container.
    """
    if not home.exists():
        return ()
    home = open_home(home)
    living = [part for part in read_state(home).components if find_process(part.mark) is not None]
    if lock_is_held(home):
        living.insert(0, ComponentStatus(name=SUPERVISOR, pid=lock_holder(home)))
    _stop_supervisor(home, timeout)
    with HomeLock(home):
        state = read_state(home)
        end_surviving_processes(home, state)
        parts = all_stopped(state.components)
        write_state(home, DaemonState(components=parts, ports=state.ports))
    return tuple(living)


def start_detached(
    home: Path, command: Sequence[str], environment: Mapping[str, str], timeout: float = 60.0
) -> DaemonState:
    """Start a supervising command in a session of its own; return once all of it runs.

    Raises UnreachableError with the last lines of its log when it ends before that,
    WaitTimeoutError after `timeout` seconds (it goes on starting).
    """
    home = open_home(home)
    path = log_path(home, SUPERVISOR)
    log = open_log(path)
    size = path.stat().st_size
    process = subprocess.Popen(  # noqa: S603 - the caller's own command
        list(command),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={key: value for key, value in environment.items() if key != MARKER},
        cwd=home,
        start_new_session=True,
    )
    os.close(log)
    deadline = time.monotonic() + timeout
    while process.poll() is None and time.monotonic() < deadline:
        state = read_state(home)
        if state.ready and state.supervisor is not None and state.supervisor.pid == process.pid:
            process.returncode = 0  # it outlives us, which Popen would warn of
            return state
        time.sleep(0.05)
    if process.returncode is None:
        process.returncode = 0
        raise WaitTimeoutError(
            f"the daemon was not ready within {timeout:.0f} s", hint="activityctl status"
        )
    said = last_lines(path, 5) if path.stat().st_size > size else "it said nothing"
    raise UnreachableError(f"the daemon did not start:\n{said}", hint=f"read {path}")


def _stop_supervisor(home: Path, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    signalled: set[int] = set()
    while lock_is_held(home):
        pid = lock_holder(home)
        number = signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL
        if time.monotonic() > deadline + KILL_SECONDS:
            raise WaitTimeoutError(f"the daemon of {home} does not stop", hint="activityctl status")
        if pid is not None and (pid not in signalled or number is signal.SIGKILL):
            signalled.add(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        time.sleep(0.05)


async def _together(*starts: Awaitable[None]) -> None:
    """Await all; the first failure cancels the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for start in starts:
                group.create_task(_awaited(start))
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _awaited(start: Awaitable[None]) -> None:
    await start
