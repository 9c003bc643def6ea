"""Init: a new working folder, written without touching what is there."""

from collections.abc import Mapping
from pathlib import Path

from activityctl.errors import ConflictError, InvalidInputError


def scaffold(folder: Path, files: Mapping[str, str], *, force: bool) -> list[Path]:
    """Write the files, given by their paths within the folder; return them in that order.

    Nothing is written when one of them is there, ConflictError lists those, unless forced. A
    symbolic link in a file's place is replaced, not followed. InvalidInputError when the folder
    cannot be written.
    """
    targets = {folder / name: content for name, content in files.items()}
    present = [path for path in targets if path.exists() or path.is_symlink()]
    if present and not force:
        raise ConflictError(
            f"there already: {', '.join(map(str, present))}; nothing was written",
            hint="name another folder, or overwrite them with --force",
        )
    try:
        for path, content in targets.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_symlink():
                path.unlink()
            with path.open("w" if force else "x", encoding="utf-8") as file:
                file.write(content)
    except OSError as error:
        raise InvalidInputError(
            f"{folder}: cannot be written: {error}", hint="name another folder"
        ) from error
    return list(targets)
