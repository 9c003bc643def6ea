"""The process that imports `activityctl` once and forks a process for each command of the tests.

Started by `support.forked` as `python fork_server.py SOCKET`. A request comes over a connection
of its own: the length and bytes of JSON with `words`, `environment` and `folder`, beside the
three standard streams. The answers are the command's process id when it starts, and its code
(negative for a signal, as in `subprocess`) when it has ended. The server ends with its standard
input, which the process that started it holds open.
"""

import gc
import importlib
import json
import os
import pkgutil
import re
import select
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any, NoReturn, TextIO

NUMBER = struct.Struct("i")
_ACTS_ON_IMPORT = re.compile(r"__main__$|\.migrations\.|\.system_keyring$")


def serve(path: str) -> None:
    """Serve requests until the standard input ends."""
    import activityctl

    for module in pkgutil.walk_packages(activityctl.__path__, "activityctl."):
        if not _ACTS_ON_IMPORT.search(module.name):
            importlib.import_module(module.name)
    gc.collect()
    gc.freeze()  # what is loaded is never looked at again, so that its pages stay shared
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        print("ready", flush=True)
        while listener in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    _serve_one(connection)
            _forget_the_ended()


def _forget_the_ended() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _serve_one(connection: socket.socket) -> NoReturn:
    """Fork the command, wait for it, and answer with its id and its code."""
    head, streams, _, _ = socket.recv_fds(connection, NUMBER.size, 3)
    body = connection.recv(NUMBER.unpack(head)[0], socket.MSG_WAITALL)
    request = json.loads(body.decode("utf-8", "surrogateescape"))
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(request, streams)
    for stream in streams:
        os.close(stream)
    connection.sendall(NUMBER.pack(pid))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        connection.sendall(NUMBER.pack(code))
    finally:
        os._exit(0)


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
