"""The guardian of commands, one at a time: starts each, and ends it with all that it started.

A worker runs one program `python -I -S guardian.py SOCKET`, which imports only the standard library
and forks a guardian whenever the socket asks for one: starting Python for each would take thirty
times as long. That request is one byte with one descriptor, the control socket of the guardian.

A request for a command is one byte on the control socket with four descriptors: the spec of the
command, and its standard input, output and error. The next one may come after the line `gone`.

On Linux it is the subreaper of the command: what the command starts stays below
the guardian, with any session, group or environment. On other systems only the group is ended.

It writes lines to the control socket: `guardian PID` once, and for each command `started` or
`failed ERRNO FILE`, `exited CODE`, `left PIDS`, and `gone` when no process of it is left and its
folder is removed. It reads the lines `term` and `kill`. When the socket closes, the worker is gone:
the processes get SIGTERM and, after `LOST_GRACE_SECONDS`, SIGKILL.
"""

# pathlib is slow to import, and starting Python for the worker waits for it.
# ruff: noqa: PTH106, PTH110, PTH116, PTH118, PTH120, PTH123, PTH208

import ctypes
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

LOST_GRACE_SECONDS = 2.0
TICK_SECONDS = 0.02
LEFT_AFTER_SECONDS = 4.0
FREEZING_ROUNDS = 50
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_IS_LINUX = sys.platform == "linux"
_HAS_LISTS = os.path.exists(f"/proc/self/task/{os.getpid()}/children")
_LIBRARY = ctypes.CDLL(None, use_errno=True)

_Program = tuple[list[bytes], list[bytes], dict[bytes, bytes]]
"""The files that may be it, its arguments and its variables."""


def _prctl(option: int, value: int) -> None:
    if _IS_LINUX:
        _LIBRARY.prctl(option, value, 0, 0, 0)


def _listed_children(pid: int) -> list[int]:
    """Return the children of a process as the kernel lists them for each of its threads."""
    found: list[int] = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    return found


def _scanned_children() -> Callable[[int], list[int]]:
    """Return the same from the parents of all processes, for kernels without such lists."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdecimal():
            with suppress(OSError), open(f"/proc/{entry}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry))
    return lambda pid: children.get(pid, [])


class Guardian:
    """Takes one command after the other, until the worker closes the socket."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._command: GuardedCommand | None = None

    def serve(self) -> None:
        """Guard the commands that are asked for."""
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        _prctl(_PR_SET_DUMPABLE, 0)  # no command can read what an earlier one was given
        wake, waker = os.pipe()
        for descriptor in (wake, waker):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        # Commands begin with the default of what is handled here. Python ignores the last two, and
        # a shell makes what it starts in the background ignore SIGQUIT.
        for number in (signal.SIGCHLD, signal.SIGQUIT, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self._end())
        self._control.sendall(b"guardian %d\n" % os.getpid())
        while True:
            request, numbers, _, _ = socket.recv_fds(self._control, 1, 4)
            if not request:
                return
            if numbers:  # else an order for the command before, which had ended
                self._guard(wake, *numbers)

    def _guard(self, wake: int, spec_number: int, *streams: int) -> None:
        for number in streams:
            os.set_inheritable(number, False)
        with os.fdopen(spec_number, encoding="utf-8", errors="surrogateescape") as file:
            file.seek(0)
            spec = json.load(file)
        self._command = GuardedCommand(self._control, spec, wake)
        self._command.run(streams)
        self._command = None

    def _end(self) -> None:
        """End the command as if the worker were gone."""
        if self._command is None:
            os._exit(0)
        self._command.lose_worker()


class GuardedCommand:
    """Starts the command of a spec, and ends its processes."""

    def __init__(self, control: socket.socket, spec: dict, wake: int) -> None:  # type: ignore[type-arg]  # JSON
        """`wake` can be read after each signal."""
        self._control = control
        self._spec = spec
        self._wake = wake
        self._is_open = True
        self._main = -1
        self._main_has_ended = False
        self._kill_at: float | None = None
        self._report_at: float | None = None

    def run(self, streams: Sequence[int]) -> None:
        """Run the command until none of its processes is left; close its streams."""
        if self._start(streams):
            self._watch()
        self._remove_folder()
        self._tell("gone")

    def _start(self, streams: Sequence[int]) -> bool:
        reading, writing = os.pipe()
        guardian, program = os.getpid(), _program(self._spec)
        try:
            self._main = os.fork()
        except OSError as error:
            os.write(writing, f"{error.errno} fork".encode())
        if self._main == 0:
            _become(self._spec, guardian, streams, writing, program)
        for descriptor in (writing, *streams):
            os.close(descriptor)
        with os.fdopen(reading, "rb") as pipe:
            failure = pipe.read()
        if failure:
            if self._main > 0:
                os.waitpid(self._main, 0)
            self._tell("failed " + failure.decode())
            return False
        self._tell("started")
        return True

    def _watch(self) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        while not self._all_have_ended():
            for descriptor, _ in poll.poll(self._wait_milliseconds()):
                if descriptor == self._wake:
                    with suppress(BlockingIOError):
                        os.read(self._wake, 4096)
                elif not self._read_orders():
                    poll.unregister(self._control)
            self._act()

    def _wait_milliseconds(self) -> int | None:
        """Return how long to wait for news: for ever, unless something has to be ended."""
        if self._kill_at is None:
            return None
        return max(int(min(self._kill_at - time.monotonic(), 1.0) * 1000), int(TICK_SECONDS * 1000))

    def _read_orders(self) -> bool:
        """Obey the worker's orders; return False when the worker is gone."""
        try:
            orders = self._control.recv(4096)
        except OSError:
            orders = b""
        if not orders:
            self._is_open = False
            self.lose_worker()
        if b"term" in orders:
            self._signal_all(signal.SIGTERM)
        if b"kill" in orders:
            self._kill_at = time.monotonic()
            self._report_at = self._kill_at + LEFT_AFTER_SECONDS
        return bool(orders)

    def lose_worker(self) -> None:
        """End the processes, as nobody waits for them."""
        if self._kill_at is None:
            self._signal_all(signal.SIGTERM)
            self._kill_at = time.monotonic() + LOST_GRACE_SECONDS

    def _act(self) -> None:
        now = time.monotonic()
        if self._kill_at is not None and now >= self._kill_at:
            if _IS_LINUX:
                self._freeze()
            self._signal_all(signal.SIGKILL)
        if self._report_at is not None and now >= self._report_at:
            self._report_at = None
            self._tell("left " + " ".join(map(str, self._descendants())))

    def _all_have_ended(self) -> bool:
        """Reap what has ended; return whether no process is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return _IS_LINUX or not self._group_lives()
            if pid == 0:
                return False
            if pid == self._main:
                self._main_has_ended = True
                self._tell(f"exited {os.waitstatus_to_exitcode(status)}")

    def _group_lives(self) -> bool:
        try:
            os.killpg(self._main, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def _signal_all(self, number: signal.Signals) -> None:
        if not _IS_LINUX:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._main, number)
            return
        for pid in self._descendants():
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)

    def _freeze(self) -> None:
        """Stop the processes until no new one appears, so that none can start more meanwhile."""
        frozen: set[int] = set()
        for _ in range(FREEZING_ROUNDS):
            found = self._descendants()
            new = [pid for pid in found if pid not in frozen]
            if not new:
                return
            for pid in new:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGSTOP)
            frozen.update(new)

    def _descendants(self) -> list[int]:
        if not _IS_LINUX:
            return [] if self._main_has_ended else [self._main]
        children_of = _listed_children if _HAS_LISTS else _scanned_children()
        found, waiting = [], [os.getpid()]
        while waiting:
            below = children_of(waiting.pop())
            found += below
            waiting += below
        return found

    def _tell(self, line: str) -> None:
        if self._is_open:
            with suppress(OSError):
                self._control.sendall(line.encode("utf-8", "replace") + b"\n")

    def _remove_folder(self) -> None:
        folder = self._spec["folder"]
        with suppress(OSError):
            for _, folders, files, descriptor in os.fwalk(folder, topdown=False):
                for name in files:
                    with suppress(OSError):
                        os.unlink(name, dir_fd=descriptor)
                for name in folders:
                    with suppress(OSError):
                        _remove_entry(name, descriptor)
            os.rmdir(folder)


def _remove_entry(name: str, folder: int) -> None:
    try:
        os.rmdir(name, dir_fd=folder)
    except NotADirectoryError:  # a link to a folder
        os.unlink(name, dir_fd=folder)


def _program(spec: dict) -> _Program:  # type: ignore[type-arg]  # JSON
    """Return what `execve` takes; of the files that a name may mean, as `execvpe` tries them."""
    name, texts = spec["arguments"][0], spec["environment"]
    arguments = [os.fsencode(text) for text in spec["arguments"]]
    variables = {os.fsencode(key): os.fsencode(text) for key, text in texts.items()}
    if os.path.dirname(name):
        return [os.fsencode(name)], arguments, variables
    folders = texts.get("PATH", os.defpath).split(os.pathsep)
    paths = [os.fsencode(os.path.join(folder, name)) for folder in folders]
    return [path for path in paths if not _is_missing(path)] or paths[-1:], arguments, variables


def _is_missing(path: bytes) -> bool:
    """Return whether there is no such file; False for one in a folder that is not known yet."""
    try:
        os.stat(path)
    except OSError as error:
        is_missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        return is_missing and path.startswith(b"/")
    return False


def _become(
    spec: dict,  # type: ignore[type-arg]  # JSON
    guardian: int,
    streams: Sequence[int],
    errors: int,
    program: _Program,
) -> None:
    """Become the program, in the child process; on failure write why, and end."""
    file = ""  # it does little: each page of memory that it touches is copied
    try:
        os.setsid()
        for target, descriptor in enumerate(streams):
            os.dup2(descriptor, target)
        if spec["account"] is not None:
            groups, group, user = spec["account"]
            os.setgroups(groups)
            os.setgid(group)
            os.setuid(user)
        for name, value in spec["limits"].items():
            resource.setrlimit(getattr(resource, name), (value, value))
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guardian:
            os._exit(127)
        for folder in (spec["folder"], spec["directory"]):
            if folder is not None:
                file = folder
                os.chdir(folder)
        file = spec["arguments"][0]
        _execute(*program)
    except OSError as error:
        os.write(errors, f"{error.errno} {file}".encode("utf-8", "replace"))
    except BaseException as error:  # noqa: BLE001  # the process ends here
        os.write(errors, f"0 {error}".encode("utf-8", "replace"))
    os._exit(127)


def _execute(programs: list[bytes], arguments: list[bytes], variables: dict[bytes, bytes]) -> None:
    """Become the first program that can be; raise OSError as `os.execvpe` does."""
    missing = refused = None
    for program in programs:
        try:
            os.execve(program, arguments, variables)  # noqa: S606  # that is its task
        except (FileNotFoundError, NotADirectoryError) as error:
            missing = error
        except OSError as error:
            refused = refused or error
    raise refused or missing or FileNotFoundError


def main() -> None:
    """Fork a guardian for each request, until the worker closes the socket; then wake them all."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # guardians need no parent that waits for them
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        while True:
            request, numbers, _, _ = socket.recv_fds(requests, 1, 1)
            if not request:
                break
            (control,) = numbers
            os.set_inheritable(control, False)
            try:
                is_guardian = os.fork() == 0
            except OSError as error:
                os.write(control, f"failed {error.errno} fork\n".encode())
                is_guardian = False
            if is_guardian:
                try:
                    requests.close()
                    os.setsid()
                    Guardian(socket.socket(fileno=control)).serve()
                finally:
                    os._exit(0)
            os.close(control)
    for pid in _listed_children(os.getpid()):  # a command may have stopped its guardian
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


if __name__ == "__main__":
    main()
