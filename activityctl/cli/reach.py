"""Which commands work over HTTP, with `--server`."""

from collections.abc import Mapping
from typing import Final, Literal

from activityctl.errors import UsageError

Reach = Literal["http", "files", "database"]
"""`http`: by the API or by Postgres, with the same output. `files`: without a server, by files of
this machine. `database`: only where the database, or the local daemon, can be reached."""

REACHES: Final[Mapping[str, Reach]] = {
    **dict.fromkeys(("get", "describe", "logs", "next", "wait", "status"), "http"),
    **dict.fromkeys(("emit", "trigger", "cancel", "pause", "resume", "complete"), "http"),
    **dict.fromkeys(("dlq", "replay", "backfill", "tokens", "explain"), "http"),
    **dict.fromkeys(("apply", "plan", "diff", "delete", "export", "history", "rollback"), "http"),
    **dict.fromkeys(("init", "validate", "schema", "guide", "metrics"), "files"),
    **dict.fromkeys(("keys", "secrets", "config", "version"), "files"),
    **dict.fromkeys(("up", "down", "doctor", "verify", "worker", "signer", "migrate"), "database"),
    **dict.fromkeys(("executor", "serve", "simulate", "top", "state"), "database"),
    **dict.fromkeys(("breaker", "recover", "backup", "restore", "purge", "retention"), "database"),
}
"""How far each command reaches."""


def needs_database(what: str) -> UsageError:
    """Return the error for what does not work over HTTP."""
    return UsageError(
        f"{what} does not work over HTTP",
        hint="run it on a machine that reaches the database, without --server and "
        "ACTIVITYCTL_SERVER: activityctl guide remote-commands",
    )
