"""What a Postgres server that answers cannot do now, by SQLSTATE: it is told as what it is.

All are outages: a later try may succeed, and this transaction has changed nothing. An error without
SQLSTATE comes from libpq, which could not connect or has lost the connection.
"""

from typing import Final

import psycopg

from activityctl.adapters.postgres.failures import first_line
from activityctl.errors import TooSlowError, UnreachableError
from activityctl.frozen_dataclass import frozen_dataclass

_LOST: Final = ("08", "57P")
"""Classes of SQLSTATE that say that there is no connection any more."""
_TOO_SLOW: Final = "due to statement timeout"


@frozen_dataclass
class _Fault:
    """What is said of the errors whose SQLSTATE begins so."""

    state: str
    what: str
    hint: str


_AGAIN: Final = "try again"
_FAULTS: Final = (
    _Fault(
        "53100",
        "the disk of Postgres is full",
        "free space on the disk of the Postgres server; work goes on by itself then",
    ),
    _Fault(
        "53200",
        "the server of Postgres has too little memory",
        "try again when it has less work, or give it more memory",
    ),
    _Fault(
        "53300",
        "Postgres has no connection left for this login",
        "close connections of other programs, or raise max_connections of the server",
    ),
    _Fault(
        "53",
        "Postgres has reached a limit of its settings",
        "ask for less, or raise the limit on the server",
    ),
    _Fault(
        "40P01",
        "Postgres ended the transaction, because it and another waited for each other",
        _AGAIN,
    ),
    _Fault(
        "40",
        "Postgres ended the transaction, because another changed the same at the same time",
        _AGAIN,
    ),
    _Fault("57014", "the statement was cancelled on the server of Postgres", _AGAIN),
    _Fault(
        "58",
        "the server of Postgres cannot use its own files",
        "look into the log of the Postgres server and at its disk",
    ),
    _Fault("", "Postgres answers with an error", "activityctl doctor"),
)
"""The first that fits counts."""
_NO_PLACE: Final = ("too many clients already", "too many connections for", "connection slots are")
"""How a server refuses a connection when it has none left; libpq gives no SQLSTATE then."""


def server_fault(error: psycopg.Error) -> UnreachableError | None:
    """Return the error for what the server says; None if it says nothing, or is going away."""
    said = error.diag.message_primary or first_line(error, "no reason given")
    state = error.sqlstate
    if state is None and any(words in said for words in _NO_PLACE):
        state, said = "53300", said.rpartition("FATAL:")[2].strip()
    if state is None or state.startswith(_LOST):
        return None
    if _TOO_SLOW in said:
        return TooSlowError(
            "Postgres ended a statement that took longer than it may",
            hint="ask for less: a shorter time range, a smaller limit, a simpler expression; "
            "or try again when the server has less work",
        )
    fault = next(fault for fault in _FAULTS if state.startswith(fault.state))
    return UnreachableError(f"{fault.what}: {said}", hint=fault.hint)
