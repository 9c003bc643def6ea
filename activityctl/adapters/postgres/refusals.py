"""Turns what Postgres refuses into our own errors: denied rights, logins, unknown databases.

libpq gives no SQLSTATE when a connection fails, so these texts are recognised by their words. In
another language they become an UnreachableError with the whole text.
"""

import re
from typing import Final

import psycopg

from activityctl.adapters.postgres.failures import first_line
from activityctl.adapters.postgres.rights import roles_with_rights
from activityctl.adapters.postgres.server_faults import server_fault
from activityctl.adapters.postgres.watched_connection import (
    IDLE_IN_TRANSACTION_SECONDS,
    TRANSACTION_SECONDS,
)
from activityctl.errors import (
    ActivityctlError,
    DatabaseDeniedError,
    DatabaseNotFoundError,
    NotAllowedError,
    UnreachableError,
)

_SERVER: Final = re.compile(r'server at "([^"]+)"(?: \([^)]*\))?, port (\d+)')
_UNKNOWN_HOST: Final = re.compile(
    r"resolve host '([^']+)'|translate host name \"([^\"]+)\" to address"
)
_PREFIX: Final = re.compile(r"^(?:connection (?:failed|is bad): )+")
_REASONS: Final = {
    "Connection refused": "nothing listens{place}",
    "invalid port number": "the port in the database URL is no number from 1 to 65535",
    "timeout expired": "no answer in time{place}",
    "starting up": "the server{place} is starting",
    "shutting down": "the server{place} is stopping",
    "terminating connection due to administrator command": "the server{place} was stopped",
    "because of crash of another server process": "the server{place} starts again after a crash",
    "unexpected postmaster exit": "the server{place} was killed",
    "idle-session timeout": "the server{place} has ended the idle connection",
    "couldn't get a connection": "no connection was free in time",
    "server closed the connection unexpectedly": "the connection{place} was lost",
    "certificate verify failed": "the certificate of the server{place} is not trusted",
    "does not support SSL": "the server{place} does not use TLS, and the URL asks for it",
    "No route to host": "there is no way to the host{place}",
    "Network is unreachable": "there is no way to the host{place}",
}
"""What libpq says, and what we say of it."""
_DOCTOR: Final = "activityctl doctor"
_OBJECT: Final = re.compile(
    r"(?:permission denied for|must be owner of) (table|view|function|relation) (\S+)"
)
_NO_DATABASE: Final = re.compile(r'FATAL: +database "(.+?)" does not exist')
_BAD_LOGIN: Final = re.compile(
    r"FATAL: +(.*(?:authentication failed|no pg_hba\.conf entry|pg_hba\.conf rejects"
    r'|not permitted to log in|role ".+" does not exist|permission denied for database).*)'
    r"|(fe_sendauth: no password supplied)"
)


def denied_right(error: psycopg.Error) -> NotAllowedError:
    """Return the error for a right that the login does not have."""
    said = error.diag.message_primary or str(error)
    found = _OBJECT.search(said)
    roles = roles_with_rights(found[2]) if found else []
    hint = "ask the owner of the database for the role that the command needs"
    if roles:
        hint = f"use a login with a database role that may do this: {', '.join(roles)}"
    return DatabaseDeniedError(
        f"Postgres refuses this to the login of the database URL: {said}", hint=hint
    )


def read_only(error: psycopg.Error) -> NotAllowedError:
    """Return the error for a write to a standby or in a read-only session."""
    said = error.diag.message_primary or str(error)
    return DatabaseDeniedError(
        f"Postgres takes no changes: {said}",
        hint="name the primary server, not a standby, in the database URL",
    )


def ended_transaction(error: psycopg.Error) -> UnreachableError:
    """Return the error for a transaction that Postgres ended: its client was silent, or slow."""
    if isinstance(error, psycopg.errors.TransactionTimeout):
        reason = f"it took over {TRANSACTION_SECONDS} seconds"
    else:
        reason = f"this program sent nothing for {IDLE_IN_TRANSACTION_SECONDS} seconds"
    return UnreachableError(
        f"Postgres ended the transaction, because {reason}: nothing was changed",
        hint="try again when the machine has less other work",
    )


def failed_connection(error: psycopg.Error) -> ActivityctlError:
    """Return the error for a server that does not answer, refuses the login or has a fault."""
    text = str(error).strip()
    if found := _NO_DATABASE.search(text):
        return DatabaseNotFoundError(
            "database", found[1], hint="create it, or correct the database URL"
        )
    if found := _BAD_LOGIN.search(text):
        said = (found[1] or found[2]).strip()
        return DatabaseDeniedError(
            f"Postgres refuses the login: {said}",
            hint="correct the user and the password of the database URL",
        )
    return server_fault(error) or UnreachableError(
        f"Postgres does not answer: {_plain_reason(error)}", hint=_DOCTOR
    )


def _plain_reason(error: psycopg.Error) -> str:
    """Return in plain words why there is no answer; an unknown reason in the words of libpq."""
    text = str(error)
    server = _SERVER.search(text)
    place = f" at {server[1]}:{server[2]}" if server else ""
    if found := _UNKNOWN_HOST.search(text):
        return f"the host {found[1] or found[2]} is not known"
    for words, reason in _REASONS.items():
        if words in text:
            return reason.format(place=place)
    line = first_line(error, "no answer")
    return _PREFIX.sub("", line)
