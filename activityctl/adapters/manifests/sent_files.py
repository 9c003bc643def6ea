"""Reads manifests that were sent by a client; nothing of this machine's disk is read."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from activityctl.adapters.manifests.files import SourceFile
from activityctl.adapters.manifests.manifests import collect_manifests
from activityctl.adapters.manifests.referenced_files import parts_below
from activityctl.adapters.manifests.strict_yaml import MAX_BYTES
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.errors import Problem


class SentManifests:
    """The ManifestSource port for files that came with a request, each with its name.

    Manifests may refer to the iCalendar files that came with them, by a path relative to their own
    name, and to no other file.
    """

    def __init__(
        self,
        files: Sequence[tuple[str, bytes]],
        icals: Mapping[str, bytes],
        unread: Mapping[tuple[str, str], str] | None = None,
    ) -> None:
        self._files = [SourceFile(name, content) for name, content in files]
        self._icals = icals
        self._unread = unread or {}

    def read(
        self,
        paths: Sequence[str],  # noqa: ARG002  # the files are here
        *,
        recursive: bool,  # noqa: ARG002  # the client has chosen them
    ) -> tuple[ManifestSet, list[Problem]]:
        """Return the manifests of all files that were sent, and every problem."""
        nothing = Problem("", 0, 0, "", "no manifest was sent", is_empty=True)
        return collect_manifests(self._files, [] if self._files else [nothing], self._read_sent)

    def names_below(self, paths: Sequence[str]) -> Mapping[tuple[str, str], str]:  # noqa: ARG002  # of the port
        """Return the files of the objects that the client has and did not send."""
        return self._unread

    def _read_sent(self, manifest: str, path: str) -> bytes:
        name = str(PurePosixPath(manifest).parent.joinpath(*parts_below(path)))
        if name not in self._icals:
            raise ValueError(f"{path}: {name} was not sent; send it among icalFiles")
        if len(self._icals[name]) > MAX_BYTES:
            raise ValueError(f"{path}: larger than 1 MiB")
        return self._icals[name]
