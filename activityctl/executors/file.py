"""The `file` context source: a file of the worker, in a folder that its settings allow."""

from typing import ClassVar, Literal

from pydantic import BaseModel, Field

from activityctl.domain.values.model import JsonValue, Manifest
from activityctl.domain.values.text import FilledText
from activityctl.domain.values.untrusted import parse_storable_json, printable
from activityctl.errors import TaskError
from activityctl.executors.local_file import MAX_FILE_BYTES, AllowedFolders
from activityctl.ports import SourceCall


class FileBody(Manifest):
    """The fields of a `file` context: which file to read. It may have 1 MiB."""

    path: FilledText = Field(
        description="The absolute path of a regular file, in a folder that the worker's settings "
        "allow (ACTIVITYCTL_ALLOWED_FOLDERS).",
        examples=["/etc/prices/eu.json"],
    )
    format: Literal["auto", "json", "text"] = Field(
        default="auto",
        description="How the file is read: `auto` reads a file as JSON if its name ends with "
        ".json, else as text. Default: auto.",
        examples=["json"],
    )


class FileSource:
    """Returns the JSON or the text of a file."""

    kind: ClassVar[str] = "file"
    body: ClassVar[type[BaseModel]] = FileBody

    def __init__(self, folders: AllowedFolders) -> None:
        self._folders = folders

    async def resolve(
        self,
        body: FileBody,
        call: SourceCall,  # noqa: ARG002  # the port has it
    ) -> JsonValue:
        """Return the content; raise TaskError if it may not or cannot be read."""
        content = await self._folders.read(body.path, limit=MAX_FILE_BYTES)
        try:
            text = content.decode("utf-8-sig")
            is_json = body.format == "json" or (
                body.format == "auto" and body.path.endswith(".json")
            )
            return parse_storable_json(text) if is_json else printable(text)
        except UnicodeDecodeError as error:
            raise _unfit(f"{body.path} is not text in UTF-8") from error
        except ValueError as error:
            raise _unfit(f"{body.path} is not JSON that can be stored: {error}") from error


def _unfit(message: str) -> TaskError:
    return TaskError(message, code="file_unfit", retryable=False)
