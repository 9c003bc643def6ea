"""The file of a backup: a tar archive of a dump and its manifest, written whole or not at all.

The manifest comes last, because it has the checksum of the dump. `tar xf` unpacks both, and
`pg_restore` reads the dump.
"""

import hashlib
import json
import os
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from activityctl.domain.values.backup import BackupManifest, read_manifest
from activityctl.errors import ConflictError, InvalidInputError, reason_of
from activityctl.private_file import sync_folder

_DUMP: Final = "database.dump"
_MANIFEST: Final = "manifest.json"
_CHUNK: Final = 1 << 20
_LARGEST_MANIFEST: Final = 1 << 20


class BackupWriter:
    """Writes the dump, part by part, then the manifest."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.size = 0
        """Bytes of the dump so far."""
        file.write(_header(_DUMP, 0))

    def write(self, part: bytes) -> None:
        """Append to the dump."""
        self._file.write(part)
        self._digest.update(part)
        self.size += len(part)

    def finish(self, manifest: BackupManifest) -> BackupManifest:
        """Write the manifest with the size and the checksum of the dump; return it."""
        whole = manifest.with_dump(self.size, self._digest.hexdigest())
        text = json.dumps(whole.to_json(), indent=1).encode() + b"\n"
        self._file.write(_padding(self.size) + _header(_MANIFEST, len(text)) + text)
        self._file.write(_padding(len(text)) + bytes(2 * tarfile.BLOCKSIZE))
        self._file.seek(0)
        self._file.write(_header(_DUMP, self.size))
        return whole


@contextmanager
def new_backup(path: Path, *, replaces: bool) -> Iterator[BackupWriter]:
    """Yield what writes a backup; at the end of the block it is at `path`, with mode 0600.

    ConflictError if the path exists and may not be replaced. After an exception nothing is left.
    """
    if not replaces and os.path.lexists(path):
        raise _exists(path)
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise InvalidInputError(f"{path}: {reason_of(error)}") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield BackupWriter(file)
            file.flush()
            os.fsync(file.fileno())
        if replaces:
            Path(name).replace(path)
        else:
            _link(name, path)
    except BaseException:  # also Ctrl-C: no half-written file stays
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _link(name: str, path: Path) -> None:
    """Give a file its name; ConflictError if somebody made a file of that name meanwhile."""
    try:
        os.link(name, path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError:  # a file system without links
        Path(name).rename(path)
    else:
        Path(name).unlink()


def _exists(path: Path) -> ConflictError:
    return ConflictError(f"{path} exists", hint="name another file, or add --replace")


class BackupFile:
    """A backup that is read: its manifest, and its dump part by part."""

    def __init__(self, path: Path) -> None:
        """Read the manifest; InvalidInputError if the file is no backup, or not whole."""
        self.path = path
        try:
            with tarfile.open(path, "r:") as archive:
                dump, manifest = archive.getmember(_DUMP), archive.getmember(_MANIFEST)
                self._offset = dump.offset_data
                stored = archive.extractfile(manifest)
                text = stored.read(_LARGEST_MANIFEST) if stored is not None else b""
        except FileNotFoundError:
            raise InvalidInputError(f"{path}: there is no such file") from None
        except OSError as error:
            raise InvalidInputError(f"{path}: {reason_of(error)}") from error
        except (tarfile.TarError, KeyError) as error:
            raise InvalidInputError(
                f"{path}: this is no backup, or not a whole one",
                hint="activityctl backup FILE takes one",
            ) from error
        self.manifest = read_manifest(text)

    def parts(self) -> Iterator[bytes]:
        """Yield the dump. InvalidInputError at its end if it is not the one of the manifest."""
        digest, left = hashlib.sha256(), self.manifest.dump_bytes
        with self.path.open("rb") as file:
            file.seek(self._offset)
            while left and (part := file.read(min(_CHUNK, left))):
                digest.update(part)
                left -= len(part)
                yield part
        if left or digest.hexdigest() != self.manifest.dump_sha256:
            raise InvalidInputError(
                f"{self.path}: the backup is damaged: its checksum is not that of its manifest",
                hint="use another copy of the backup",
            )


def _header(name: str, size: int) -> bytes:
    """Return a header of tar; large sizes are written in GNU's way."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = size, 0o600
    return entry.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)
