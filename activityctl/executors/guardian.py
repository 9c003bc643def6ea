"""The guardian of one command: starts it, and ends it with all that it started.

A worker runs one program `python -I -S guardian.py SOCKET`, which imports only the standard library
and forks a guardian for each command that the socket asks for: starting Python for each would take
thirty times as long. A request is one byte with five descriptors: the control socket and the spec
of the command, and its standard input, output and error.

On Linux it is the subreaper of the command: what the command starts stays below
the guardian, with any session, group or environment. On other systems only the group is ended.

It writes lines to the control socket: `started PID`, `failed ERRNO FILE`, `exited CODE`,
`left PIDS`, `gone`. It reads the lines `term` and `kill`. When the socket closes, the worker is
gone: the processes get SIGTERM and, after `LOST_GRACE_SECONDS`, SIGKILL. At last it removes the
folder of the attempt.
"""

# pathlib is slow to import, and starting Python for the worker waits for it.
# ruff: noqa: PTH106, PTH110, PTH123, PTH208

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
from collections.abc import Callable
from contextlib import suppress

LOST_GRACE_SECONDS = 2.0
TICK_SECONDS = 0.02
LEFT_AFTER_SECONDS = 4.0
FREEZING_ROUNDS = 50
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_IS_LINUX = sys.platform == "linux"
_HAS_LISTS = os.path.exists(f"/proc/self/task/{os.getpid()}/children")


_LIBRARY = ctypes.CDLL(None, use_errno=True)


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
    """Starts the command of a spec, and ends its processes."""

    def __init__(self, control: socket.socket, spec: dict) -> None:  # type: ignore[type-arg]  # JSON
        self._control = control
        self._spec = spec
        self._is_open = True
        self._main = 0
        self._main_has_ended = False
        self._kill_at: float | None = None
        self._report_at: float | None = None

    def run(self) -> None:
        """Run the command until none of its processes is left."""
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        wake, waker = os.pipe()
        for descriptor in (wake, waker):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self._lose_worker())
        if not self._start():
            self._remove_folder()
            return
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        os.close(null)
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        while not self._all_have_ended():
            for descriptor, _ in poll.poll(self._wait_milliseconds()):
                if descriptor == wake:
                    with suppress(BlockingIOError):
                        os.read(wake, 4096)
                elif not self._read_orders():
                    poll.unregister(self._control)
            self._act()
        self._remove_folder()
        self._tell("gone")

    def _start(self) -> bool:
        reading, writing = os.pipe()
        guardian = os.getpid()
        self._main = os.fork()
        if self._main == 0:
            _become(self._spec, guardian, writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            failure = pipe.read()
        if failure:
            os.waitpid(self._main, 0)
            self._tell("failed " + failure.decode())
            return False
        self._tell(f"started {self._main}")
        return True

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
            self._lose_worker()
        if b"term" in orders:
            self._signal_all(signal.SIGTERM)
        if b"kill" in orders:
            self._kill_at = time.monotonic()
            self._report_at = self._kill_at + LEFT_AFTER_SECONDS
        return bool(orders)

    def _lose_worker(self) -> None:
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


def _become(spec: dict, guardian: int, errors: int) -> None:  # type: ignore[type-arg]  # JSON
    """Become the command, in the child process; on failure write why, and end."""
    file = ""
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
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
        os.execvpe(file, spec["arguments"], spec["environment"])  # noqa: S606  # that is its task
    except OSError as error:
        os.write(errors, f"{error.errno} {file}".encode("utf-8", "replace"))
    except BaseException as error:  # noqa: BLE001  # the process ends here
        os.write(errors, f"0 {error}".encode("utf-8", "replace"))
    os._exit(127)


def guard(control_number: int, spec_number: int, *streams: int) -> None:
    """Read the spec and guard its command; this process does nothing else."""
    os.setsid()
    for target, descriptor in enumerate(streams):
        os.dup2(descriptor, target)
        os.close(descriptor)
    with os.fdopen(spec_number, encoding="utf-8", errors="surrogateescape") as file:
        file.seek(0)
        spec = json.load(file)
    with socket.socket(fileno=control_number) as control:
        Guardian(control, spec).run()


def main() -> None:
    """Fork a guardian for each request, until the worker closes the socket."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # guardians need no parent that waits for them
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        while True:
            request, numbers, _, _ = socket.recv_fds(requests, 1, 5)
            if not request:
                return
            for number in numbers:
                os.set_inheritable(number, False)
            try:
                is_guardian = os.fork() == 0
            except OSError as error:
                os.write(numbers[0], f"failed {error.errno} fork\n".encode())
                is_guardian = False
            if is_guardian:
                try:
                    requests.close()
                    guard(*numbers)
                finally:
                    os._exit(0)
            for number in numbers:
                os.close(number)


if __name__ == "__main__":
    main()
