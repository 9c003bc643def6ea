"""Code of a `code` task tries to reach files, network, environment, processes and our objects."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.code import run
from support.commands import exists

PYTHON = {
    "control": "1 + 1",
    "open": "open('/etc/passwd').read()",
    "pathlib": "import pathlib\nresult = pathlib.Path('/etc/passwd').read_text()",
    "listing": "import pathlib\nresult = list(pathlib.Path('/').iterdir())",
    "writing": "open('/tmp/escaped', 'w').write('x')",
    "environ": "import os\nresult = os.environ['PATH']",
    "getenv": "import os\nresult = os.getenv('ACTIVITYCTL_TASK_ID') or fail()",
    "listdir": "import os\nresult = os.listdir('/')",
    "system": "import os\nresult = os.system('id')",
    "subprocess": "import subprocess\nresult = subprocess.run(['id'])",
    "socket": "import socket\nresult = socket.create_connection(('127.0.0.1', 22))",
    "urllib": "import urllib.request\nresult = urllib.request.urlopen('http://127.0.0.1')",
    "ctypes": "import ctypes\nresult = ctypes.CDLL(None)",
    "importlib": "import importlib\nresult = importlib.import_module('os').system",
    "__import__": "result = __import__('os').system('id')",
    "builtins": "import builtins\nresult = builtins.open('/etc/passwd')",
    "__builtins__": "result = __builtins__['open']('/etc/passwd')",
    "subclasses": "result = ().__class__.__bases__[0].__subclasses__()",
    "mro": "result = ''.__class__.__mro__[1].__subclasses__()",
    "globals": "result = (lambda: 0).__globals__['__builtins__']",
    "code": "result = (lambda: 0).__code__.co_consts",
    "frame": "import sys\nresult = sys._getframe(0).f_back",
    "modules": "import sys\nresult = sys.modules['os']",
    "traceback": "try:\n        1 / 0\n    except Exception as e:\n"
    "        result = e.__traceback__.tb_frame",
    "format": "result = '{0.__class__.__init__.__globals__}'.format(inputs)",
    "signal": "import signal\nresult = signal.raise_signal(9)",
    "pickle": "import pickle\nresult = pickle.loads(b\"cos\\nsystem\\n(S'id'\\ntR.\")",
    "asyncio": "import asyncio\nresult = asyncio.create_subprocess_exec('id')",
    "threading": "import threading\nresult = threading.Thread(target=print)",
    "gc": "import gc\nresult = gc.get_objects()",
    "urandom": "import os\nresult = os.urandom(4)",
    "kill": "import os\nresult = os.kill(1, 0)",
}
JAVASCRIPT = {
    "control": "1 + 1",
    "require": "require('fs').readFileSync('/etc/passwd')",
    "process": "process.env.PATH",
    "binding": "process.binding('fs')",
    "module": "module.constructor._load('fs')",
    "fetch": "fetch('http://127.0.0.1')",
    "xhr": "new XMLHttpRequest()",
    "websocket": "new WebSocket('ws://127.0.0.1')",
    "deno": "Deno.readTextFileSync('/etc/passwd')",
    "bun": "Bun.file('/etc/passwd')",
    "d8 read": "read('/etc/passwd')",
    "d8 load": "load('/etc/passwd')",
    "d8 os": "os.system('id')",
    "d8 quit": "quit()",
    "worker": "new Worker('postMessage(1)', {type: 'string'})",
    "scripts": "importScripts('/etc/passwd')",
    "constructor": "(function () {}).constructor('return process')()",
    "this": "(function () { return this })().process.env",
    "async constructor": "(async () => {}).constructor('return require')()",
    "generator": "(function* () {}).constructor('return process')().next().value.env",
    "eval": "(0, eval)('process.env')",
    "console": "console.log.constructor('return process')()",
    "caller": "(function f() { return f.caller.arguments })()",
    "stack": "(() => { Error.prepareStackTrace = (_, s) => s;"
    " return new Error().stack.map(s => s.getFunction()).find(f => f && f.name === 'print') })()"
    " ?? fail()",
    "getThis": "(() => { Error.prepareStackTrace = (_, s) => s;"
    " return new Error().stack.map(s => s.getThis()).find(t => t && t.print) })() ?? fail()",
    "natives": "%DebugPrint(1)",
    "wasm": "new WebAssembly.Memory({initial: 1})",
    "proto": "inputs.__proto__.constructor.constructor('return process')()",
    "timers": "setTimeout.constructor('return process')()",
    "global": "global.process",
    "window": "window.location",
    "print": "print('x')",
    "gc": "gc()",
}


async def test_python_reaches_nothing():
    parts = ["reached = {}", "def fail(): raise ValueError('nothing')"]
    for name, attempt in PYTHON.items():
        lines = attempt.replace("\n    ", "\0").splitlines()
        lines[-1] = lines[-1] if "=" in lines[-1] else f"result = {lines[-1]}"
        block = "\n    ".join(lines).replace("\0", "\n    ")
        parts.append(
            f"try:\n    {block}\n    reached[{name!r}] = repr(result)[:200]\n"
            "except BaseException as error:\n    pass"
        )
    output = await run(python="\n".join([*parts, "reached"]))
    assert output["value"] == {"control": "2"}
    assert not exists("/tmp/escaped")


async def test_javascript_reaches_nothing():
    attempts = json.dumps(list(JAVASCRIPT.items()))
    source = f"""
    const fail = () => {{ throw new Error("nothing") }};
    (async () => {{
      const reached = {{}};
      for (const [name, attempt] of {attempts}) {{
        try {{ reached[name] = String(await (0, eval)(attempt)) }} catch (error) {{ }}
      }}
      return reached;
    }})()
    """
    assert (await run(javascript=source))["value"] == {"control": "2"}


async def test_dynamic_import_of_javascript_finds_no_module():
    source = """
    (async () => {
      const found = [];
      for (const name of ["fs", "node:fs", "/etc/passwd", "file:///etc/passwd", "data:text/x,1"])
        try { await import(name); found.push(name) } catch { }
      return found;
    })()
    """
    assert (await run(javascript=source))["value"] == []


PROBE = """
import ctypes, json, os, socket, sys
sys.path.append(sys.argv[1])
from activityctl.executors.sandbox import confinement
KIND = sys.argv[2]
import ctypes.util
library = ctypes.CDLL(None, use_errno=True)
reading = os.open("/etc/passwd", os.O_RDONLY)
os.set_blocking(reading, True)
{"compute": confinement.only_compute, "read": confinement.only_read}[KIND]()
def tried(act):
    try:
        act()
    except OSError as error:
        return error.errno
    return 0
found = {
    "open": tried(lambda: os.open("/etc/hostname", os.O_RDONLY)),
    "write": tried(lambda: os.open("/tmp/escaped", os.O_WRONLY | os.O_CREAT)),
    "socket": tried(lambda: socket.socket()),
    "connect": tried(lambda: socket.socketpair()[0].connect("/x")),
    "exec": tried(lambda: os.execv("/bin/true", ["true"])) if KIND == "compute" else 1,
    "fork": tried(lambda: os.fork() or os._exit(0)) if KIND == "compute" else 1,
    "kill": tried(lambda: os.kill(1, 0)) if KIND == "compute" else 1,
    "unlink": tried(lambda: os.unlink("/tmp/nothing-there")),
    "mkdir": tried(lambda: os.mkdir("/tmp/escaped")),
    "rename": tried(lambda: os.rename("/tmp/a", "/tmp/b")),
    "chmod": tried(lambda: os.chmod("/tmp", 0o777)),
}
os.write(1, json.dumps(found).encode())
os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the filter of system calls is Linux's")
@pytest.mark.parametrize("kind", ["compute", "read"])
def test_the_system_refuses_what_an_interpreter_with_a_fault_would_try(kind: str):
    root = str(Path(__file__).parents[3])
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROBE, root, kind], capture_output=True, check=True, timeout=60
    )
    found = json.loads(done.stdout)
    if kind == "read":
        assert found.pop("open") == 0  # monty's program is read by the loader
    assert set(found.values()) == {1}, found  # EPERM
    assert not exists("/tmp/escaped")
