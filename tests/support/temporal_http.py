"""Requests to the HTTP API of the embedded Temporal, as ours and as those of a web page."""

import json
import re
import urllib.error
import urllib.request
from typing import Any

import psutil

from activityctl.daemon.local.state import DaemonState

START = json.dumps({"workflowType": {"name": "Kept"}, "taskQueue": {"name": "none"}}).encode()
"""The body of a request that starts a workflow."""
SIMPLE = {"Content-type": "text/plain", "Origin": "http://evil.example"}
"""Headers that a browser sends across sites without asking first."""


def temporal_api(state: DaemonState, path: str, body: dict[str, Any] | None = None) -> Any:
    """Send a request with the host name that the daemon chose; return the answer."""
    data = None if body is None else json.dumps(body).encode()
    status, text = temporal_http(state, path, data, host=_allowed_host(state))
    assert status == 200, text
    return json.loads(text)


def temporal_http(
    state: DaemonState, path: str, data: bytes | None = None, **headers: str
) -> tuple[int, str]:
    """Send a request, a POST if there is data; return status and body."""
    url = f"http://127.0.0.1:{state.ports['temporal_http']}/api/v1/namespaces/default/{path}"
    try:
        request = urllib.request.Request(url, data, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def _allowed_host(state: DaemonState) -> str:
    port = str(state.ports["temporal_http"])
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    (command,) = (parts for parts in commands if port in parts and "start-dev" in parts)
    (host,) = re.findall(r"[0-9a-f]{32}\.invalid", " ".join(command))
    return str(host)
