"""The process that imports `activityctl` once and forks a process for each command of the tests.

Started by `support.forked` as `python fork_server.py SOCKET`; it imports at the first request. A
request comes over a connection
of its own: the length and bytes of JSON with `words`, `environment` and `folder`, beside the
three standard streams. The answers are the command's process id when it starts, and its code
(negative for a signal, as in `subprocess`) when it has ended. The server ends with its standard
input, which the process that started it holds open.
"""

import contextlib
import ctypes
import gc
import importlib
import io
import json
import os
import pkgutil
import re
import select
import signal
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TextIO

NUMBER = struct.Struct("i")
_ACTS_ON_IMPORT = re.compile(r"__main__$|\.migrations\.|\.system_keyring$")
_LARGE_PAGE = 2 << 20
_COLLAPSE = 25  # MADV_COLLAPSE of Linux 6.1


def serve(path: str) -> None:
    """Serve requests until the standard input ends; what comes first waits for the imports."""
    running: list[_Running] = []
    with socket.socket(socket.AF_UNIX) as listener, _waking_when_a_child_ends() as woken:
        listener.bind(path)
        listener.listen(64)
        print("ready", flush=True)
        if sys.stdin in select.select([listener, sys.stdin], [], [])[0]:
            return
        _load()
        while sys.stdin not in (ready := select.select([listener, sys.stdin, woken], [], [])[0]):
            if woken in ready:
                woken.recv(4096)
                running = [command for command in running if not command.answers()]
            if listener in ready:
                connection, _ = listener.accept()
                ours = (listener, connection, woken, *(other.connection for other in running))
                running.append(_begin(connection, ours))


@contextlib.contextmanager
def _waking_when_a_child_ends() -> Iterator[socket.socket]:
    """Yield what is readable as soon as a child has ended."""
    woken, waking = socket.socketpair()
    waking.setblocking(False)
    with woken, waking:
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waking.fileno())
        yield woken


def _load() -> None:
    """Import what a command may need, and let nothing of it be looked at or copied again."""
    import activityctl
    from activityctl.cli.main import app
    from activityctl.settings import load_settings

    for module in pkgutil.walk_packages(activityctl.__path__, "activityctl."):
        if not _ACTS_ON_IMPORT.search(module.name):
            importlib.import_module(module.name)
    with contextlib.redirect_stdout(io.StringIO()):  # a command imports some modules of libraries
        app(["version"], standalone_mode=False)
    load_settings(environment={})
    gc.collect()
    gc.freeze()  # what is loaded is never looked at again, so that its pages stay shared
    _use_large_pages()


def _use_large_pages() -> None:
    """Have the memory in pages of 2 MB where Linux can: to fork and end takes 4 ms, not 10."""
    advise = getattr(ctypes.CDLL(None), "madvise", None)
    maps = Path("/proc/self/maps")
    if advise is None or not maps.exists():
        return
    advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for line in maps.read_text().splitlines():
        place, rights, *_, last = line.split()
        if rights == "rw-p" and last in ("0", "[heap]"):  # of no file
            begin, end = (int(text, 16) for text in place.split("-"))
            for start in range(-(-begin // _LARGE_PAGE) * _LARGE_PAGE, end, _LARGE_PAGE):
                if start + _LARGE_PAGE <= end:
                    advise(start, _LARGE_PAGE, _COLLAPSE)


@dataclass
class _Running:
    """A command that runs, and the connection on which its caller waits for the code."""

    pid: int
    connection: socket.socket

    def answers(self) -> bool:
        """Answer with the code if the command has ended; return whether it has."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            with self.connection, contextlib.suppress(BrokenPipeError):  # its caller has ended
                self.connection.sendall(NUMBER.pack(os.waitstatus_to_exitcode(status)))
        return pid != 0


def _begin(connection: socket.socket, ours: Iterable[socket.socket]) -> _Running:
    """Read a request, fork the command without our sockets, and answer with its process id."""
    head, streams, _, _ = socket.recv_fds(connection, NUMBER.size, 3)
    body = connection.recv(NUMBER.unpack(head)[0], socket.MSG_WAITALL)
    request = json.loads(body.decode("utf-8", "surrogateescape"))
    pid = os.fork()
    if pid == 0:
        os.close(signal.set_wakeup_fd(-1))
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for end in ours:
            end.close()
        _become(request, streams)
    for stream in streams:
        os.close(stream)
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(NUMBER.pack(pid))
    return _Running(pid, connection)


def _become(request: dict[str, Any], streams: list[int]) -> NoReturn:
    """Be the command of the request, as if this process had just been started for it."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout = _opened(0, sys.stdin), _opened(1, sys.stdout)
    sys.stderr = _opened(2, sys.stderr)
    if (paths := request["environment"].get("PYTHONPATH")) != os.environ.get("PYTHONPATH"):
        sys.path[1:1] = (paths or "").split(os.pathsep)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    time.tzset()
    tempfile.tempdir = None  # where TMPDIR says
    sys.argv = request["words"]
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    from activityctl.cli.main import main

    try:
        main()
    except SystemExit as ended:  # what Python does at its end, but for taking everything down
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        sys.stdout.flush()
        os._exit(code)
    os._exit(1)


def _opened(number: int, before: TextIO) -> TextIO:
    """Open a standard stream as Python does at its start; `before` knows whether it can seek."""
    mode = "r" if number == 0 else "w"
    return open(number, mode, encoding=before.encoding, errors=before.errors, closefd=False)


if __name__ == "__main__":
    sys.path[0] = str(Path(sys.executable).parent)  # as the installed command has it
    serve(sys.argv[1])
