"""The next step that an error suggests, made fit for the command that failed."""

from collections.abc import Sequence
from typing import Final

from activityctl.daemon.local.state import RESTART

_SETTINGS: Final = (
    "start the servers if they do not run, or correct their addresses: activityctl config show"
)

MIGRATE: Final = "activityctl worker --migrate"


def fitting_hint(hint: str | None, words: Sequence[str], *, uses_local_daemon: bool) -> str | None:
    """Return the hint, or a better one if it cannot help.

    `words` are the words of the failed command, without the program's name. A hint cannot help if
    it only repeats the command, or if it starts the local daemon although the settings name other
    servers. Only `up` migrates the database of the local daemon.
    """
    if hint is None:
        return None
    if hint == MIGRATE:
        return RESTART if uses_local_daemon else hint
    starts_daemon = "activityctl up" in hint
    if starts_daemon and not uses_local_daemon:
        return _SETTINGS
    if _names(hint.split()) != ["activityctl", *_names(words)]:
        return hint
    return "read the logs in the folder logs of the home" if uses_local_daemon else _SETTINGS


def _names(words: Sequence[str]) -> list[str]:
    return [word for word in words if not word.startswith("-") and word not in _FORMATS]


_FORMATS: Final = frozenset({"text", "wide", "json", "jsonl", "yaml"})
