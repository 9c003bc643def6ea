"""Runs the executor in Node, which was written from the text of the Builder Kit alone."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_PROGRAM = Path(__file__).with_name("executor.js")


class NodeExecutor:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def seen(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.url}/seen", timeout=60) as answer:
            return json.loads(answer.read())

    def use_key(self, key: str) -> None:
        urllib.request.urlopen(f"{self.url}/key/{key}", timeout=60).close()


@contextmanager
def node_executor(key: str) -> Iterator[NodeExecutor]:
    process = subprocess.Popen(["node", str(_PROGRAM), key], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield NodeExecutor(int(process.stdout.readline()))
    finally:
        process.kill()
        process.communicate()
