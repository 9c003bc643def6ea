"""Run `activityctl` commands quickly: fork each from a process that has imported the package.

Importing takes most of a short command's time, and the tests run some thousand commands. Each
still is a process of its own, with the arguments, environment, folder, standard streams and exit
code that a new one would have; only modules that it would not need are there already. A command
whose environment changes how Python starts runs in a new process, and so does every one when the
variable TESTS_START_NEW_PROCESSES is set.
"""

import atexit
import contextlib
import functools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support.fork_server import NUMBER

COMMAND = Path(sys.executable).parent / "activityctl"
_SERVER = Path(__file__).with_name("fork_server.py")
_READ_BEFORE_THE_COMMAND = re.compile(
    "PYTHON(?!PATH|_KEYRING|UNBUFFERED|DONTWRITE)|LC_|LANG|LD_|MALLOC_"  # by Python
    "|_?TYPER_|TERMINAL_WIDTH|FORCE_COLOR|PY_COLORS|GITHUB_ACTIONS"  # while typer is imported
)
_ENVIRONMENT = dict(os.environ)
_shared: list[str] = []


def run_command(
    *arguments: str,
    environment: Mapping[str, str],
    folder: Path | None = None,
    stdin: str | None = None,
    out: Path | None = None,
    timeout: float = 90,
) -> subprocess.CompletedProcess[str]:
    """Run `activityctl ARGUMENTS` as a process of its own, and return its code and output.

    Args:
        arguments: The words after `activityctl`.
        environment: Its whole environment.
        folder: Its working folder; that of this process unless given.
        stdin: What it reads; nothing unless given.
        out: The file that its standard output goes to, instead of the result.
        timeout: After so many seconds it is killed, and `subprocess.TimeoutExpired` is raised.
    """
    words = [str(COMMAND), *arguments]
    if _needs_a_new_process(environment):
        with out.open("w") if out else contextlib.nullcontext(subprocess.PIPE) as stdout:
            return subprocess.run(
                words,
                env=environment,
                cwd=folder,
                input=stdin or "",
                stdout=stdout,
                stderr=subprocess.PIPE,
                text=True,
                timeout=timeout,
                check=False,
            )
    request = {"words": words, "environment": dict(environment)}
    request["folder"] = str(folder or Path.cwd())
    body = json.dumps(request).encode()
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(socket.socket(socket.AF_UNIX))
        connection.connect(address())
        pipes = [os.pipe() for _ in range(3)]
        (child_in, our_in), (our_out, child_out), (our_err, child_err) = pipes
        if out is not None:
            os.close(child_out)
            child_out = os.open(out, os.O_WRONLY)
        socket.send_fds(connection, [NUMBER.pack(len(body))], [child_in, child_out, child_err])
        for end in (child_in, child_out, child_err):
            os.close(end)
        connection.sendall(body)
        pid = NUMBER.unpack(connection.recv(NUMBER.size))[0]
        pool = stack.enter_context(ThreadPoolExecutor(3))
        pool.submit(_write, our_in, stdin or "")
        out, err = (pool.submit(_read, end) for end in (our_out, our_err))
        try:
            connection.settimeout(timeout)
            code = NUMBER.unpack(connection.recv(NUMBER.size))[0]
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(words, timeout, out.result(), err.result()) from None
        return subprocess.CompletedProcess(words, code, out.result(), err.result())


def _needs_a_new_process(environment: Mapping[str, str]) -> bool:
    """Return whether the environment differs in what is read before a command begins."""
    if "TESTS_START_NEW_PROCESSES" in os.environ:
        return True
    ours, theirs = (
        {name: text for name, text in given.items() if _READ_BEFORE_THE_COMMAND.match(name)}
        for given in (_ENVIRONMENT, environment)
    )
    return ours != theirs


def share(path: str) -> None:
    """Use the server with this socket, which another process has started and will stop."""
    _shared[:] = [path]


def address() -> str:
    """Return the path of the server's socket; start one for this process unless one is shared."""
    return _shared[0] if _shared else _started()


@functools.cache
def _started() -> str:
    folder = tempfile.mkdtemp(prefix="actl-fork-")
    path = f"{folder}/socket"
    server = subprocess.Popen(
        [sys.executable, str(_SERVER), path],
        env=_ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    atexit.register(_stop, server, folder)
    assert server.stdout.readline() == "ready\n"
    return path


def _stop(server: subprocess.Popen[str], folder: str) -> None:
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.close()
    server.stdout.close()
    server.wait(timeout=60)
    Path(folder, "socket").unlink(missing_ok=True)
    Path(folder).rmdir()


def _write(end: int, text: str) -> None:
    with contextlib.suppress(BrokenPipeError), os.fdopen(end, "w", encoding="utf-8") as stream:
        stream.write(text)


def _read(end: int) -> str:
    with os.fdopen(end, encoding="utf-8") as stream:
        return stream.read()
