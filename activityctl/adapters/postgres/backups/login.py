"""Lets the programs of PostgreSQL log in; no password is in their arguments or environment.

Everybody on a machine can read the arguments of its processes.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from activityctl.adapters.postgres.connection_url import secured
from activityctl.errors import UsageError
from activityctl.private_file import write_private

_HAS_REQUIRE_AUTH: Final = 16
_NEWER: Final = {"require_auth"}


@contextmanager
def login_of(url: str, tool_major: int) -> Iterator[str]:
    """Yield connection parameters for programs of that version, without the password.

    The password is in a file that only we can read, for as long as the block lasts.
    """
    given = {key: str(value) for key, value in conninfo_to_dict(secured(url)).items()}
    if "sslpassword" in given:
        raise UsageError(
            "the programs of PostgreSQL cannot be given an sslpassword safely",
            hint="use a key file without a password, or a password in the database URL",
        )
    if tool_major < _HAS_REQUIRE_AUTH:
        given = {key: value for key, value in given.items() if key not in _NEWER}
        if given.get("sslrootcert") == "system":
            raise UsageError(
                f"the programs of PostgreSQL {tool_major} cannot use the system's certificates",
                hint="name a file in the database URL: sslrootcert=/etc/ssl/certs/…, or install "
                "PostgreSQL 16 or later",
            )
    given["application_name"] = "activityctl backup"
    password = given.pop("password", None)
    if password is None:
        yield make_conninfo(**given)
        return
    with tempfile.TemporaryDirectory(prefix="activityctl-") as folder:
        path = Path(folder) / "pgpass"
        escaped = password.replace("\\", "\\\\").replace(":", "\\:")
        write_private(path, f"*:*:*:*:{escaped}\n")
        yield make_conninfo(**given, passfile=str(path))
