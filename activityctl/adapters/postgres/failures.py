"""Which errors of Postgres are outages, and which will not go away.

An outage ends by itself or by an operator's hand: a lost connection, a restart, a full disk. An
error of the data comes again however often the same statement is tried.
"""

from typing import Final

import psycopg
from psycopg_pool import PoolTimeout

_DATA: Final = ("22", "54")
"""Classes of SQLSTATE: data exceptions, and limits such as the size of an index entry."""
_SHOWN: Final = 200


def is_data_error(error: BaseException | None) -> bool:
    """Return whether Postgres, or psycopg before it, refuses a value for good."""
    if isinstance(error, psycopg.Error) and error.sqlstate is not None:
        return error.sqlstate[:2] in _DATA
    return isinstance(error, psycopg.DataError)


def is_outage(error: BaseException | None) -> bool:
    """Return whether Postgres cannot answer now; a later try may succeed."""
    return isinstance(error, psycopg.OperationalError | PoolTimeout) and not is_data_error(error)


def first_line(error: BaseException, otherwise: str) -> str:
    """Return the first line of the error's text: the lines after it quote statements and data."""
    lines = str(error).strip().splitlines()
    return lines[0][:_SHOWN] if lines else otherwise
