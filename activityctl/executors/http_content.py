"""The content of an http request: JSON, a form, text or files, with the secrets filled in."""

import base64
import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from activityctl.domain.values.secret_ref import SecretRef, fill_secrets
from activityctl.errors import TaskError
from activityctl.executors.http_body import HttpBody
from activityctl.executors.http_parts import FilePart
from activityctl.executors.local_file import AllowedFolders
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import JsonValue, ResolveSecret

if TYPE_CHECKING:
    from httpx._types import FileTypes

MAX_SENT_BYTES: Final = 10 * 1024 * 1024


@frozen_dataclass
class Content:
    """What is sent after the headers, and its media type."""

    media_type: str | None = None
    data: bytes | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """The header of the media type, if there is one."""
        return {} if self.media_type is None else {"Content-Type": self.media_type}


class Contents:
    """Makes the content of requests; reads files in the folders that are allowed."""

    def __init__(self, folders: AllowedFolders) -> None:
        self._folders = folders

    async def make(self, body: HttpBody, secret: ResolveSecret, host: str) -> Content:
        """Return the content of the body for a call to the host; raise TaskError for none."""
        content = await self._make(body, secret, host)
        if content.data is not None and len(content.data) > MAX_SENT_BYTES:
            raise _invalid(f"the request has more than {MAX_SENT_BYTES:,} bytes")
        return content

    async def _make(self, body: HttpBody, secret: ResolveSecret, host: str) -> Content:
        async def read(ref: SecretRef) -> str:
            return await secret(ref, host=host)

        if body.sends_json:  # not left to httpx, which sends nothing for null
            return Content("application/json", _json(await fill_secrets(body.json_value, read)))
        if body.body is not None:
            return Content("text/plain; charset=utf-8", _encoded(body.body))
        if body.file is not None:
            return Content(body.file.content_type, await self._data(body.file))
        if body.form is None and body.files is None:
            return Content()
        fields = {
            name: [await secret(value, host=host) for value in values]
            for name, values in (body.form or {}).items()
        }
        files = [(name, await self._part(part)) for name, part in (body.files or {}).items()]
        return _form(fields, files)

    async def _part(self, part: FilePart) -> "FileTypes":
        name = part.filename or (PurePath(part.path).name if part.path is not None else None)
        return name, await self._data(part), part.content_type

    async def _data(self, part: FilePart) -> bytes:
        if part.path is not None:
            return await self._folders.read(part.path, limit=MAX_SENT_BYTES)
        if part.base64 is not None:
            return base64.b64decode(part.base64)
        return _encoded(part.content or "")


def _form(fields: Mapping[str, list[str]], files: "list[tuple[str, FileTypes]]") -> Content:
    import httpx

    # httpx writes forms; only their bytes and media type are taken from this request.
    for name, value in ((name, value) for name, values in fields.items() for value in values):
        _encoded(name + value)
    request = httpx.Request("POST", "https://form.invalid/", data=fields, files=files or None)
    return Content(request.headers.get("content-type"), request.read())


def _json(value: JsonValue) -> bytes:
    try:
        return json.dumps(
            value, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        ).encode()
    except ValueError as error:  # NaN, or half a surrogate pair
        raise _invalid(str(error)) from error


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise _invalid(str(error)) from error


def _invalid(reason: str) -> TaskError:
    message = f"the request is invalid: {reason}"
    return TaskError(message, code="invalid_request", retryable=False)
