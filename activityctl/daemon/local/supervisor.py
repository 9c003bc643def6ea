"""The supervisor of the local daemon: it starts all components, keeps them running, stops them.

A home has one supervisor. It starts the two servers and the children that the caller names.
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from activityctl.daemon.local import embedded_postgres, embedded_temporal
from activityctl.daemon.local.child_spec import ChildSpec
from activityctl.daemon.local.log_files import keep_logs_small
from activityctl.daemon.local.start_steps import StartStep, StartSteps
from activityctl.daemon.local.state import (
    ComponentStatus,
    DaemonState,
    HomeLock,
    all_stopped,
    component_of,
    lock_holder,
    lock_is_held,
    open_home,
    read_state,
    surviving_processes,
    write_state,
)
from activityctl.daemon.local.supervised_process import (
    Endings,
    LaunchSpec,
    SupervisedProcess,
    await_all,
    child_environment,
    choose_ports,
    end_processes,
    is_free,
    orphan_processes,
)
from activityctl.daemon.signals import on_stop_signal
from activityctl.errors import UnreachableError, WaitTimeoutError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.process_identity import find_process, process_identity

LOGGER = logging.getLogger(__name__)

PORT_TRIES: Final = 5
KILL_SECONDS: Final = 5.0
_ASK_AGAIN_SECONDS: Final = 2.0
SUPERVISOR: Final = "supervisor"
SERVERS: Final = (embedded_postgres.NAME, embedded_temporal.NAME)
_LABELS: Final[Mapping[str, str]] = {
    embedded_postgres.NAME: "Postgres",
    embedded_temporal.NAME: "Temporal",
    "api": "the API",
}
SERVER_VARIABLES: Final = ("PATH", "TMPDIR")


@frozen_dataclass
class Hooks:
    """What the caller does while the daemon starts."""

    migrate: Callable[[str], Awaitable[None]]
    """Awaited with the URL of the database, before any child starts."""
    on_ready: Callable[[DaemonState], Awaitable[None]] | None = None
    """Awaited once, when everything runs."""
    on_steps: Callable[[Sequence[StartStep]], None] = lambda _: None
    """Called with all steps of the start so far when one begins or ends."""


async def supervise(
    home: Path,
    children: Sequence[ChildSpec],
    hooks: Hooks,
    environment: Mapping[str, str],
    *,
    shows_ui: bool = False,
) -> None:
    """Run the daemon of a home until SIGTERM, SIGINT or SIGHUP; a second signal shortens the stop.

    Starts Postgres and Temporal, migrates, then starts the children together. Stops in the
    opposite order and leaves no process, also when a start fails. `environment` is the user's;
    the environment of the children is made from it. With `shows_ui`, Temporal's web page runs too.

    Raises ConflictError when this home already has a running daemon, UnreachableError with the
    reason when a component cannot be started, and whatever the hooks raise.
    """
    home = open_home(home)
    with HomeLock(home):
        daemon = _Daemon(home, children, hooks, environment, shows_ui=shows_ui)
        with on_stop_signal(daemon.on_signal):
            await daemon.run()


class _Daemon:
    """One running daemon with its components."""

    def __init__(
        self,
        home: Path,
        specs: Sequence[ChildSpec],
        hooks: Hooks,
        environment: Mapping[str, str],
        *,
        shows_ui: bool,
    ) -> None:
        self._home = home
        self._shows_ui = shows_ui
        self._specs = specs
        self._environment = environment
        self._hooks = hooks
        self._former = read_state(home)
        self._ports = dict(self._former.ports)
        self._addresses: dict[str, str] = {}
        self._supervisor = process_identity(os.getpid())
        self._needed = [spec for spec in specs if spec.is_needed()]
        names = [*SERVERS, *(spec.name for spec in self._needed)]
        self._children: dict[str, SupervisedProcess | None] = dict.fromkeys(names)
        self._components = {name: ComponentStatus(name=name) for name in names}
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._start_steps = StartSteps(self._on_steps)

    def on_signal(self) -> None:
        """Stop; if already stopping, stop faster."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def run(self) -> None:
        """Start everything, wait for a signal, stop everything."""
        start = asyncio.create_task(self._start())
        stop = asyncio.create_task(self._stop.wait())
        later = [asyncio.create_task(keep_logs_small(self._home / "logs"))]
        try:
            await asyncio.wait({start, stop}, return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                start.result()
                later.append(asyncio.create_task(self._start_when_needed()))
                await stop
        finally:
            for task in (start, stop, *later[1:]):
                task.cancel()
            await asyncio.gather(start, stop, *later[1:], return_exceptions=True)
            await self._stop_all()
            later[0].cancel()

    async def _start(self) -> None:
        step = self._start_steps.step
        with step("looking for an earlier daemon"):
            await asyncio.to_thread(end_surviving_processes, self._home, self._former)
        self._write_state()
        await await_all(self._start_postgres(), self._start_temporal())
        cluster = self._cluster()
        with step("migrating the database"):
            await self._hooks.migrate(cluster.database_url)
        self._addresses |= {
            "database_url": cluster.database_url,
            "temporal_address": f"127.0.0.1:{self._ports['temporal']}",
        }
        if self._shows_ui:
            page = f"http://127.0.0.1:{self._ports[embedded_temporal.UI_PORT]}"
            self._addresses[embedded_temporal.UI_PORT] = page
        for spec in self._needed:
            self._choose_address(spec)
        self._write_state()
        await await_all(*(self._start_child(spec) for spec in self._needed))
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
                self._home, self._ports, environment, shows_ui=self._shows_ui
            )

        page = (embedded_temporal.UI_PORT,) if self._shows_ui else ()
        ports = (*embedded_temporal.PORTS, *page)
        await self._bring_up(embedded_temporal.NAME, ports, launch)

    async def _start_child(self, spec: ChildSpec) -> None:
        ports = (spec.name,) if spec.listens else ()
        await self._bring_up(spec.name, ports, lambda: self._child_launch(spec))

    async def _start_when_needed(self) -> None:
        """Start the children that were not needed at first, as soon as they are."""
        waiting = [spec for spec in self._specs if spec.name not in self._components]
        while waiting:
            await asyncio.sleep(_ASK_AGAIN_SECONDS)
            for spec in [spec for spec in waiting if spec.is_needed()]:
                self._components[spec.name] = ComponentStatus(name=spec.name)
                try:
                    await self._start_child(spec)
                except UnreachableError:  # the next round tries again
                    LOGGER.exception("could not start %s", spec.name)
                else:
                    waiting.remove(spec)

    async def _bring_up(
        self, name: str, ports: tuple[str, ...], launch: Callable[[], Awaitable[LaunchSpec]]
    ) -> None:
        for attempt in range(PORT_TRIES):
            self._ports |= choose_ports({key: self._ports.get(key) for key in ports}, self._ports)
            steps = ExitStack()
            child = SupervisedProcess(self._with_steps(await launch(), steps), self._on_change)
            self._children[name] = child
            try:
                with steps:
                    await child.start()
            except UnreachableError:
                taken = not all(is_free(self._ports[key]) for key in ports)
                if not taken or attempt == PORT_TRIES - 1:
                    raise
            else:
                return
            LOGGER.warning("another process took the port of %s, trying another port", name)

    def _with_steps(self, spec: LaunchSpec, steps: ExitStack) -> LaunchSpec:
        """Return the spec so that its first start is reported; it ends when `steps` are closed."""
        label = _LABELS.get(spec.name, f"the {spec.name}")
        is_new = spec.name == embedded_postgres.NAME and not self._cluster().data.exists()
        begun: list[str] = []

        async def prepare() -> None:
            if begun:  # a restart, later
                await spec.prepare()
                return
            begun.append(label)
            with self._start_steps.step("preparing the database") if is_new else nullcontext():
                await spec.prepare()
            steps.enter_context(self._start_steps.step(f"starting {label}"))

        return replace(spec, prepare=prepare)

    def _choose_address(self, spec: ChildSpec) -> None:
        """Choose the port of a listening child before it starts, so that others know it."""
        if spec.listens:
            if spec.name not in self._ports:
                self._ports |= choose_ports({spec.name: None}, self._ports)
            self._addresses[spec.name] = f"http://127.0.0.1:{self._ports[spec.name]}"

    async def _child_launch(self, spec: ChildSpec) -> LaunchSpec:
        self._choose_address(spec)
        port = self._ports[spec.name] if spec.listens else None
        address = self._addresses.get(spec.name)
        endings: Endings = ((signal.SIGTERM, spec.drain), (signal.SIGKILL, 5.0))

        async def ready() -> bool:
            if port is not None:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
            pid = self._components[spec.name].pid
            return pid is not None and await spec.ready(dict(self._addresses), pid)

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
                except Exception:  # the other components are stopped too
                    LOGGER.exception("could not stop a component")
        await asyncio.to_thread(end_surviving_processes, self._home, self._state())
        self._addresses = {}
        self._supervisor = None
        parts = all_stopped(tuple(self._components.values()))
        self._components = {part.name: part for part in parts}
        self._write_state()

    def _on_steps(self, steps: Sequence[StartStep]) -> None:
        self._write_state()
        self._hooks.on_steps(steps)

    def _on_change(self, status: ComponentStatus) -> None:
        self._components[status.name] = status
        self._write_state()

    def _write_state(self) -> None:
        try:
            write_state(self._home, self._state())
        except OSError:  # a full disk must not end the daemon
            LOGGER.exception("could not write the state of the daemon")

    def _state(self) -> DaemonState:
        return DaemonState(
            supervisor=self._supervisor,
            components=tuple(self._components.values()),
            addresses=dict(self._addresses),
            ports=dict(self._ports),
            steps=self._start_steps.steps,
        )

    def _cluster(self) -> embedded_postgres.Cluster:
        port = self._ports[embedded_postgres.NAME]
        return embedded_postgres.Cluster(self._home, port, self._server_environment())

    def _server_environment(self) -> dict[str, str]:
        kept = {key: self._environment.get(key, "") for key in SERVER_VARIABLES}
        return {
            **{key: value for key, value in kept.items() if value},
            "HOME": str(self._home),
            "LC_ALL": "C",
        }


def end_surviving_processes(home: Path, state: DaemonState) -> tuple[ComponentStatus, ...]:
    """End the processes that an earlier daemon of this home left; return their components.

    The servers are ended last, so that the other processes can still write while they stop.
    Call it only while holding the home's lock.
    """
    owners = orphan_processes(home)
    ended = []
    for process in surviving_processes(state):
        if (part := component_of(state, process.pid)) is not None:
            owners[process] = part.name
            ended.append(part)
    end_processes([process for process, name in owners.items() if name not in SERVERS])
    end_processes([process for process, name in owners.items() if name == embedded_temporal.NAME])
    embedded_postgres.end_server(home / "postgres")
    end_processes(orphan_processes(home))
    return tuple(ended)


def stop_daemon(home: Path, timeout: float = 60.0) -> tuple[ComponentStatus, ...]:
    """Stop the daemon of a home and its leftovers; return what was running, supervisor first.

    After `timeout` seconds the supervisor is killed and its components are ended directly.
    Raises WaitTimeoutError when it does not stop even then, for example in another container.
    """
    if not home.exists():
        return ()
    home = open_home(home)
    running = [
        part for part in read_state(home).components if find_process(part.identity) is not None
    ]
    if lock_is_held(home):
        running.insert(0, ComponentStatus(name=SUPERVISOR, pid=lock_holder(home)))
    _stop_supervisor(home, timeout)
    with HomeLock(home):
        state = read_state(home)
        end_surviving_processes(home, state)
        parts = all_stopped(state.components)
        try:
            write_state(home, DaemonState(components=parts, ports=state.ports))
        except OSError as error:  # a full disk: nothing of what the file names runs any more
            LOGGER.warning("could not write the state of the daemon: %s", error)
    return tuple(running)


def _stop_supervisor(home: Path, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    signalled: set[int] = set()
    while lock_is_held(home):
        pid = lock_holder(home)
        number = signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL
        if time.monotonic() > deadline + KILL_SECONDS:
            raise WaitTimeoutError(f"the daemon of {home} did not stop", hint="activityctl status")
        if pid is not None and (pid not in signalled or number is signal.SIGKILL):
            signalled.add(pid)
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        time.sleep(0.05)
