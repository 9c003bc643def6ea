"""Real servers for the tests: Postgres and Temporal for each worker, a database for each test."""

import compileall
import contextlib
import gc
import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from activityctl import wiring
from activityctl.daemon.local.embedded_postgres import OWNER, Cluster
from activityctl.daemon.local.supervisor import stop_daemon
from activityctl.settings import Secret, Settings
from support import forked, prepared_home
from support.anvil import Anvil, AnvilMissingError, is_required, running_anvil
from support.examples import ALONE, BESIDE_OTHERS
from support.leftovers import end_workflows
from support.logins import CHEAP_PASSWORDS, create_logins
from support.memory_folder import free_memory, use_memory
from support.order import spread
from support.rewritten import rewrite_test_files

TESTS = Path(__file__).parent
RECURSION_LIMIT = sys.getrecursionlimit()
_NUMBERS = itertools.count()
_COPY = "CREATE DATABASE {} TEMPLATE activityctl STRATEGY FILE_COPY"  # takes half as long


def pytest_configure(config: pytest.Config) -> None:
    """Compile the package once, even if Python writes no bytecode: a thousand commands load it.

    With `-n`, hypothesis takes the same examples in each run, so that a run fails for what was
    changed, and half as many; without, it looks further. Look for no garbage while tests are
    collected: there is none, and looking takes a quarter of the time.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as the shell starts what gets an `&`
        signal.signal(signal.SIGINT, signal.default_int_handler)
    is_beside_others = hasattr(config, "workerinput")  # a worker of `-n`
    hypothesis.settings.register_profile(
        BESIDE_OTHERS if is_beside_others else ALONE,
        deadline=None,
        derandomize=is_beside_others,
        max_examples=50 if is_beside_others else 100,
        suppress_health_check=[hypothesis.HealthCheck.too_slow],
    )
    hypothesis.settings.load_profile(BESIDE_OTHERS if is_beside_others else ALONE)
    if is_beside_others:
        forked.share(config.workerinput["fork_server"])
    else:
        use_memory(config)
        compileall.compile_dir(TESTS.parent / "activityctl", quiet=1, workers=0)
        if config.getoption("numprocesses", None):
            rewrite_test_files(config)
    gc.disable()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give each worker of `-n` the one server that forks commands."""
    node.workerinput["fork_server"] = forked.address()


def pytest_xdist_auto_num_workers() -> int:
    """Return four more than the number of CPUs, because many tests wait for daemons; at most 8.

    Each has servers of its own, which need CPU even while they have nothing to do.
    """
    return min((os.cpu_count() or 1) + 4, 8)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give the acceptance tests that share a daemon to few workers, one file after the other."""
    if config.getoption("dist") != "loadfile":
        return None
    from support.lanes import LaneScheduling  # without `-n` there may be no xdist

    return LaneScheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let each worker of `-n` have the files in the order in which they are given out."""
    if hasattr(config, "workerinput"):
        names = {item.path: item.path.relative_to(TESTS).as_posix() for item in items}
        places = {name: place for place, name in enumerate(spread(names.values()))}
        items.sort(key=lambda item: places[names[item.path]])


def pytest_collection_finish() -> None:
    """Take back the limit that eth-account sets; deep JSON crashes Python beyond its own.

    Look for garbage again, but not among what is collected.
    """
    sys.setrecursionlimit(RECURSION_LIMIT)
    gc.freeze()
    gc.enable()


@pytest.hookimpl(trylast=True)  # after the workers of `-n` have ended
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Free the memory that the files of the run take, unless a failed test may be looked at."""
    if exitstatus == pytest.ExitCode.OK:
        free_memory(session.config)


@pytest.fixture(scope="session", autouse=True)
def empty_config_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the config file of the user who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(scope="session", autouse=True)
def shared_by_workers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Name the folder that the workers of `-n` share."""
    own = tmp_path_factory.getbasetemp()
    prepared_home.keep_in(own.parent if hasattr(request.config, "workerinput") else own)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Start Postgres and Temporal once; yield `database_url` and `temporal_address`."""
    home = prepared_home.prepare(tmp_path_factory.mktemp("servers"))
    state = prepared_home.start_servers(home)
    try:
        cluster = Cluster(home, state.ports["postgres"], {})
        _prepare_for_tests(cluster.superuser_url, state.addresses["database_url"])
        wiring.migrate(state.addresses["database_url"], roles_prefix="activityctl")
        create_logins(state.addresses["database_url"])
        yield {**state.addresses, "superuser_url": cluster.superuser_url}
    finally:
        stop_daemon(home)


def _prepare_for_tests(superuser_url: str, owner_url: str) -> None:
    """Turn off fsync, which is faster: the data need not survive a crash of the machine.

    Let the owner of our database make databases and roles for tests, and log in quickly.
    """
    password = sql.Literal(conninfo_to_dict(owner_url)["password"])
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute(CHEAP_PASSWORDS)
        connection.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(OWNER), password)
        )
        connection.execute(f"ALTER ROLE {OWNER} CREATEDB CREATEROLE")
        connection.execute(f"GRANT pg_signal_backend TO {OWNER}")  # DROP DATABASE WITH (FORCE)
        connection.execute(f"GRANT SET ON PARAMETER session_replication_role TO {OWNER}")
        for name in ("fsync", "full_page_writes"):
            connection.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(name)))
        connection.execute("SELECT pg_reload_conf()")


@pytest.fixture
def database_url(servers: dict[str, str]) -> Iterator[str]:
    """Create a migrated database for the test, cloned from a template in milliseconds."""
    url = servers["database_url"]
    name = f"test_{os.getpid()}_{next(_NUMBERS)}"
    with psycopg.connect(url.rsplit("/", 1)[0] + "/postgres", autocommit=True) as connection:
        connection.execute(sql.SQL(_COPY).format(sql.Identifier(name)))
    yield url.rsplit("/", 1)[0] + f"/{name}"
    with psycopg.connect(url.rsplit("/", 1)[0] + "/postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def settings(servers: dict[str, str], database_url: str, tmp_path: Path) -> Settings:
    """Return the settings of a worker on the session's servers and the test's database."""
    return Settings(
        home=tmp_path,
        database_url=Secret(database_url),
        temporal_address=servers["temporal_address"],
        allow_commands=True,
        allow_http=True,
        task_environment={"PATH": os.environ["PATH"]},
    )


@pytest.fixture
async def ports(settings: Settings) -> AsyncIterator[wiring.Ports]:
    """Open the ports on the test's database."""
    async with wiring.open_ports(settings, pool_size=8) as opened:
        yield opened
    await end_workflows(settings)


@pytest.fixture(scope="session")
def shared_chain() -> Iterator[Anvil]:
    """Start one local chain; skip the test if anvil cannot be installed."""
    with contextlib.ExitStack() as stack:
        try:
            chain = stack.enter_context(running_anvil())
        except AnvilMissingError as missing:
            if is_required():
                raise
            pytest.skip(str(missing))
        yield chain


@pytest.fixture
def chain(shared_chain: Anvil) -> Iterator[Anvil]:
    """Return the session's chain; what the test does to it is undone afterwards."""
    snapshot = shared_chain.call("evm_snapshot")
    yield shared_chain
    shared_chain.call("evm_revert", snapshot)
