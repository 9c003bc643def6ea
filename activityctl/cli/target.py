"""Names the servers that a command changes, so that nobody changes others than meant."""

from typing import Final
from urllib.parse import urlsplit

from activityctl.setting_sources import SettingSource

CHANGING: Final = frozenset(
    {
        *(
            "apply",
            "backfill",
            "backup",
            "breaker",
            "cancel",
            "complete",
            "dlq",
            "delete",
            "emit",
            "migrate",
            "pause",
            "plan",
            "purge",
        ),
        *("recover", "replay", "restore", "resume", "retention", "rollback", "state", "trigger"),
    }
)
"""The commands that change something on the servers; `plan`, which says what would change; and
`backup`, which is of no use if it is of another server."""


def target_text(sources: list[SettingSource]) -> str:
    """Return the profile, variable or flag that names the HTTP API, or the database."""
    server = next(source for source in sources if source.name == "server")
    if server.value is not None:
        return f"target: {server.source}, {server.value}"
    found = next(source for source in sources if source.name == "database_url")
    return f"target: {found.source}, {_database(str(found.value))}"


def _database(masked_url: str) -> str:
    try:
        url = urlsplit(masked_url)
        host = f"{url.hostname}:{url.port}" if url.port else url.hostname
    except ValueError:
        host, url = None, urlsplit("")
    name = url.path.lstrip("/")
    return f"database {name or '(the default)'} at {host or '(the default host)'}"
