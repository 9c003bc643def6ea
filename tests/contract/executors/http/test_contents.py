"""The HTTP executor: methods, forms, files, and what a response must be."""

import base64
import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from activityctl.domain.values.model import WRITTEN
from activityctl.executors.http import HttpExecutor
from activityctl.executors.http_body import HttpBody
from activityctl.executors.http_client import HttpClient
from activityctl.executors.local_file import AllowedFolders
from support.http_server import LOOPBACK, Serve, answering, answering_json, failing, run


@pytest.mark.parametrize("method", ["PROPFIND", "QUERY", "REPORT", "PURGE", "M-SEARCH"])
async def test_any_method_is_sent(serve: Serve, executor: HttpExecutor, method: str):
    server = await serve(answering())
    await run(executor, method=method, url=server.url)
    assert server.requests[0].method == method


@pytest.mark.parametrize("method", ["get", "CONNECT", "TRACE", "A B", "", "X\r\nY"])
async def test_what_is_no_method_or_is_dangerous_is_refused(executor: HttpExecutor, method: str):
    error = await failing(executor, method=method, url="http://127.0.0.1/")
    assert (error.task_code, error.may_retry) == ("bad_input", False)


async def test_a_form_is_sent_as_browsers_do(serve: Serve, executor: HttpExecutor):
    server = await serve(answering())
    form = {"grant_type": "client_credentials", "tag": ["a b", "ü"], "n": 7}
    await run(executor, method="POST", url=server.url, form=form)
    (request,) = server.requests
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.body == b"grant_type=client_credentials&tag=a+b&tag=%C3%BC&n=7"


async def test_files_are_sent_as_multipart(serve: Serve, tmp_path: Path):
    (tmp_path / "latest.pdf").write_bytes(b"\x00\xff")
    folders = AllowedFolders([tmp_path])
    client = HttpClient(allow_http=True, allowed_networks=LOOPBACK, folders=folders)
    executor = HttpExecutor(client)
    server = await serve(answering())
    files = {
        "text": {"filename": "a.csv", "contentType": "text/csv", "content": "a,b"},
        "bytes": {"base64": base64.b64encode(b"\x01\x02").decode()},
        "pdf": {"path": str(tmp_path / "latest.pdf"), "contentType": "application/pdf"},
    }
    await run(executor, method="POST", url=server.url, form={"x": "1"}, files=files)
    (request,) = server.requests
    kind, _, boundary = request.headers["content-type"].partition("; boundary=")
    assert kind == "multipart/form-data"
    parts = request.body.split(b"--" + boundary.encode())
    assert len(parts) == 6
    assert b'name="x"\r\n\r\n1' in parts[1]
    assert b'name="text"; filename="a.csv"\r\nContent-Type: text/csv\r\n\r\na,b' in parts[2]
    assert b'name="bytes"' in parts[3]
    assert b"\x01\x02" in parts[3]
    assert b'filename="latest.pdf"\r\nContent-Type: application/pdf\r\n\r\n\x00\xff' in parts[4]
    await run(executor, method="PUT", url=server.url, file={"path": str(tmp_path / "latest.pdf")})
    assert server.requests[1].body == b"\x00\xff"
    assert server.requests[1].headers["content-type"] == "application/octet-stream"
    await executor.close()


async def test_only_regular_files_of_allowed_folders_are_sent(serve: Serve, tmp_path: Path):
    allowed, other = tmp_path / "allowed", tmp_path / "other"
    for folder in (allowed, other):
        folder.mkdir()
    (other / "secret").write_text("canary")
    (allowed / "fine").write_text("fine")
    (allowed / "inside").symlink_to(allowed / "fine")
    (allowed / "out").symlink_to(other / "secret")
    (allowed / "folder_out").symlink_to(other)
    (allowed / "circle").symlink_to(allowed / "circle")
    os.mkfifo(allowed / "pipe")
    client = HttpClient(
        allow_http=True, allowed_networks=LOOPBACK, folders=AllowedFolders([allowed])
    )
    executor = HttpExecutor(client)
    server = await serve(answering())
    for name in ("fine", "inside", "../allowed/fine"):
        await run(executor, method="PUT", url=server.url, file={"path": str(allowed / name)})
    assert [request.body for request in server.requests] == [b"fine"] * 3
    wrong = ["out", "folder_out/secret", "../other/secret", "circle", "pipe", ".", ""]
    for path in [*(str(allowed / name) for name in wrong), "allowed/fine", "/etc/hostname"]:
        error = await failing(executor, method="PUT", url=server.url, file={"path": path})
        assert error.task_code in {"file_forbidden", "bad_input"}, path
        assert not error.may_retry
    missing = {"path": str(allowed / "none")}
    error = await failing(executor, method="PUT", url=server.url, file=missing)
    assert (error.task_code, error.may_retry) == ("file_unreadable", True)
    assert len(server.requests) == 3
    await executor.close()


async def test_no_folder_is_allowed_by_default(executor: HttpExecutor):
    file = {"path": "/etc/hostname"}
    error = await failing(executor, method="PUT", url="http://127.0.0.1/", file=file)
    assert "ACTIVITYCTL_ALLOWED_FOLDERS" in error.message


@pytest.mark.parametrize(
    "body",
    [
        {"json": 1, "form": {}},
        {"body": "a", "file": {"content": "a"}},
        {"form": {}, "body": "x"},
        {"file": {"content": "a", "base64": "YQ=="}},
        {"file": {"base64": "%"}},
        {"file": {}},
        {"files": {"a": {"path": ""}}},
        {"auth": {}},
        {"auth": {"bearer": "a", "basic": {"username": "a", "password": "b"}}},
        {"auth": {"bearer": "a"}, "headers": {"authorization": "Bearer b"}},
        {"auth": {"hmac": {"secret": "a", "header": "X-A"}}},
        {"auth": {"basic": {"username": "a:b", "password": "c"}}},
        {"paginate": {"maxPages": 0}},
        {"paginate": {"maxPages": 1001}},
        {"paginate": {"onLimit": "ignore"}},
        {"response": "xml"},
    ],
)
def test_what_cannot_be_meant_is_refused(body: dict[str, Any]):
    with pytest.raises(ValidationError):
        HttpBody.model_validate({"url": "https://a.example/", **body}, context=WRITTEN)


@pytest.mark.parametrize("text", ["<html>", "", "{", "NaN"])
async def test_a_response_that_must_be_json_fails_if_it_is_not(
    serve: Serve, executor: HttpExecutor, text: str
):
    server = await serve(answering_json(text))
    error = await failing(executor, url=server.url, response="json")
    assert (error.task_code, error.may_retry) == ("invalid_json", True)
    assert server.url in error.message
    server.answer = answering(b'{"a": 1}', headers=["Content-Type: text/plain"])
    assert (await run(executor, url=server.url, response="json")).output["json"] == {"a": 1}


async def test_a_response_can_be_kept_as_text(serve: Serve, executor: HttpExecutor):
    server = await serve(answering_json('{"a": 1}'))
    output = (await run(executor, url=server.url, response="text")).output
    assert (output["body"], output["json"]) == ('{"a": 1}', None)
