"""Write the files of a new working folder; existing files are kept."""

from collections.abc import Mapping
from pathlib import Path

from activityctl.errors import ConflictError, InvalidInputError, reason_of


def scaffold(folder: Path, files: Mapping[str, str], *, force: bool) -> list[Path]:
    """Write the files and return their paths, in the given order.

    `files` maps paths relative to the folder to contents. Without `force`, nothing is written
    when one of the files exists: ConflictError lists those. A symbolic link in place of a file
    is replaced, not followed. InvalidInputError when the folder cannot be written.
    """
    targets = {folder / name: content for name, content in files.items()}
    present = [path for path in targets if path.exists() or path.is_symlink()]
    if present and not force:
        raise ConflictError(
            f"already exists: {', '.join(map(str, present))}; nothing was written",
            hint="choose another folder, or overwrite the files with --force",
        )
    try:
        for path, content in targets.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if force:
                path.unlink(missing_ok=True)
            with path.open("x", encoding="utf-8") as file:  # follows no link
                file.write(content)
    except OSError as error:
        raise InvalidInputError(
            f"{folder} cannot be written: {reason_of(error)}", hint="choose another folder"
        ) from error
    return list(targets)
