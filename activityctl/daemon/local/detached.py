"""Start the supervisor in a session of its own, and follow it until all components run."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from activityctl.daemon.local.start_steps import StartStep
from activityctl.daemon.local.state import DaemonState, open_home, read_state
from activityctl.daemon.local.supervised_process import MARKER, last_lines, log_path, open_log
from activityctl.daemon.local.supervisor import SUPERVISOR, stop_daemon
from activityctl.errors import UnreachableError, WaitTimeoutError

_POLL_SECONDS: Final = 0.05
_STOP_SECONDS: Final = 30.0


def start_detached(
    home: Path,
    command: Sequence[str],
    environment: Mapping[str, str],
    timeout: float = 150.0,
    on_steps: Callable[[Sequence[StartStep]], None] = lambda _: None,
) -> DaemonState:
    """Start a supervising command in a session of its own; return once all components run.

    `on_steps` is called with the steps of the start so far, when one begins or ends. Ctrl-C stops
    what was started before KeyboardInterrupt goes on.

    Raises UnreachableError with the last lines of its log when the command ends before that, and
    WaitTimeoutError after `timeout` seconds without progress; the command then continues to start.
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
    try:
        state = _await_ready(process, home, timeout, on_steps)
    except KeyboardInterrupt:
        _stop(process, home)
        raise
    if state is not None:
        process.returncode = 0  # it continues after us; without this Popen would warn
        return state
    if process.returncode is None:
        process.returncode = 0
        raise WaitTimeoutError(
            f"the daemon is not ready and made no progress for {timeout:.0f} s"
            + _open_steps(read_state(home)),
            hint="activityctl status",
        )
    output = last_lines(path, 5) if path.stat().st_size > size else "it wrote no output"
    raise UnreachableError(f"the daemon did not start:\n{output}", hint=f"read {path}")


def _await_ready(
    process: "subprocess.Popen[bytes]",
    home: Path,
    timeout: float,
    on_steps: Callable[[Sequence[StartStep]], None],
) -> DaemonState | None:
    """Return the state once it is ready.

    None if the process has ended, or if for `timeout` seconds no step has begun or ended: a slow
    machine may take longer for all of them.
    """
    deadline = time.monotonic() + timeout
    steps: Sequence[StartStep] = ()
    while process.poll() is None and time.monotonic() < deadline:
        state = read_state(home)
        if state.supervisor is not None and state.supervisor.pid == process.pid:
            on_steps(state.steps)
            if state.steps != steps:
                steps, deadline = state.steps, time.monotonic() + timeout
            if state.ready and all(step.ended is not None for step in state.steps):
                return state
        time.sleep(_POLL_SECONDS)
    return None


def _open_steps(state: DaemonState) -> str:
    """Return what the daemon is still doing, for the end of a message."""
    doing = [step.doing for step in state.steps if step.ended is None]
    return f" ({', '.join(doing)})" if doing else ""


def _stop(process: "subprocess.Popen[bytes]", home: Path) -> None:
    """Stop a supervisor that starts, and all that it has started; a further Ctrl-C hurries it."""
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except (KeyboardInterrupt, subprocess.TimeoutExpired):
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
    stop_daemon(home)
