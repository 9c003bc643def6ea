"""Reads the manifests of a request: files in JSON, one YAML text, or a saved plan."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import field, replace
from typing import Annotated, Any, Final, TypeVar

from fastapi import Query, Request
from pydantic import Field, ValidationError

from activityctl import wiring
from activityctl.api.bodies import LARGEST_BATCH, LARGEST_BODY, require_uncompressed
from activityctl.api.refusals import UnsupportedMediaTypeError
from activityctl.domain.access.caller import Caller
from activityctl.domain.gitops.history import Origin
from activityctl.domain.values.model import Manifest
from activityctl.errors import InvalidInputError, UsageError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.gitops.saved_plan import SavedPlan, restore
from activityctl.ports import ManifestSource

Result = TypeVar("Result")
NAME: Final = "body"
"""What problems name in place of a file if the body is one YAML text."""
YAML: Final = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
_JSON: Final = ("application/json", "application/x-www-form-urlencoded", "")
"""With the type that curl sends unless it is told another one."""
_LONGEST_NAME: Final = 1_000
_MOST_FILES: Final = 20_000
_MOST_ICALS: Final = 50
_SAVED: Final = "SavedPlan"
FileName = Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME)]


class SentFile(Manifest):
    """One file of the client."""

    name: FileName = Field(description="Its path, as problems name it.")
    content: str


class UnreadObject(Manifest):
    """An object in a file of the client that was not sent, because it is in a subfolder."""

    kind: str
    name: str
    file: FileName


class ManifestFiles(Manifest):
    """The files of a client."""

    files: list[SentFile] = Field(
        max_length=_MOST_FILES, description="Manifests in YAML or JSON, at most 1 MiB each."
    )
    ical_files: list[SentFile] = Field(
        default_factory=list,
        max_length=_MOST_ICALS,
        description="The iCalendar files that calendars refer to, by a path in their folder.",
    )
    unread: list[UnreadObject] = Field(
        default_factory=list,
        max_length=_MOST_FILES,
        description="What pruning must not delete, because files that were not sent have it.",
    )


@frozen_dataclass
class Sent:
    """The manifests of a request."""

    files: tuple[tuple[str, bytes], ...]
    icals: Mapping[str, bytes] = field(default_factory=dict)
    unread: Mapping[tuple[str, str], str] = field(default_factory=dict)
    saved: SavedPlan | None = None
    """The plan that they came in."""
    body: bytes = b""

    @property
    def source(self) -> ManifestSource:
        """The reader of the files."""
        return wiring.sent_manifests(self.files, self.icals, self.unread)


class Options:
    """What is wanted with the manifests: the options of `plan` and `apply`."""

    def __init__(
        self,
        *,
        applyset: Annotated[str | None, Query(description="the set that they belong to")] = None,
        prune: Annotated[
            bool, Query(description="delete what is in the set and not in the manifests")
        ] = False,
        take_over: Annotated[
            bool, Query(alias="takeOver", description="move objects of other sets to this one")
        ] = False,
        allow_empty: Annotated[
            bool, Query(alias="allowEmpty", description="empty the set if there is no manifest")
        ] = False,
        source_commit: Annotated[
            str | None,
            Query(
                alias="sourceCommit",
                max_length=1_000,
                description="the commit of the files, for the history",
            ),
        ] = None,
    ) -> None:
        if source_commit is not None and not source_commit.isprintable():
            raise UsageError("sourceCommit has characters that cannot be printed")
        self.applyset = applyset
        self.prune = prune
        self.take_over = take_over
        self.allow_empty = allow_empty
        self.source_commit = source_commit

    @property
    def are_given(self) -> bool:
        """Whether there is any; a saved plan has its own."""
        return any((self.applyset, self.prune, self.take_over, self.allow_empty))

    def origin(self, caller: Caller) -> Origin:
        """Return what the history says about the change."""
        return Origin(actor=caller.name, source_commit=self.source_commit)


@asynccontextmanager
async def sent_manifests(request: Request) -> AsyncIterator[Sent]:
    """Read the manifests; the room that they need is kept until the block ends.

    InvalidInputError for another body, UnsupportedMediaTypeError for another type.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    require_uncompressed(request.headers)
    if media_type not in {*YAML, *_JSON}:
        raise UnsupportedMediaTypeError(
            f"manifests are not sent as {media_type}", hint=f"send {YAML[0]} or {_JSON[0]}"
        )
    is_yaml = media_type in YAML
    limit = LARGEST_BODY if is_yaml else LARGEST_BATCH
    async with request.app.state.intake.body(request, limit) as body:
        if is_yaml:
            yield Sent(((NAME, body),), body=body)
        else:
            yield replace(await asyncio.to_thread(_read_json, body), body=body)


async def checked(request: Request, sent: Sent, work: Callable[[ManifestSource], Result]) -> Result:
    """Return what `work` returns for the manifests; it has a thread, one request at a time."""

    def run() -> Result:
        with wiring.evaluating():
            return work(sent.source)

    async with request.app.state.loading:
        return await asyncio.to_thread(run)


def _read_json(body: bytes) -> Sent:
    value = wiring.parse_json(
        body, NAME, example=f"send YAML as {YAML[0]}", max_bytes=LARGEST_BATCH
    )
    if not isinstance(value, dict):
        raise InvalidInputError(
            "the body is not a JSON object",
            hint='send {"files": [{"name": "order.yaml", "content": "..."}]}',
        )
    if value.get("kind") == _SAVED:
        return _saved(value)
    try:
        given = ManifestFiles.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or NAME
        raise InvalidInputError(f"{place}: {first['msg']}") from None
    _require_different([file.name for file in (*given.files, *given.ical_files)])
    return Sent(
        tuple((file.name, file.content.encode()) for file in given.files),
        {file.name: file.content.encode() for file in given.ical_files},
        {(each.kind, each.name): each.file for each in given.unread},
    )


def _saved(value: dict[str, Any]) -> Sent:
    """Return the manifests of a saved plan; they are checked like others."""
    saved = restore(json.dumps(value), "the body")
    files = tuple(
        (f"documents[{index}]", json.dumps(document).encode())
        for index, document in enumerate(value["documents"])
    )
    return Sent(files, saved=saved)


def _require_different(names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if not name.isprintable():
            raise InvalidInputError("the name of a file has characters that cannot be printed")
        if name in seen:
            raise InvalidInputError(f"two files have the name {name}")
        seen.add(name)
