"""The roles of the database: their rights are those of the table, and no others."""

import re
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
from psycopg import sql

from activityctl import wiring
from activityctl.adapters.postgres.locks import Lock
from activityctl.adapters.postgres.rights import FUNCTIONS, TABLES, Role, roles_with_rights
from activityctl.errors import ConflictError, InvalidInputError, NotAllowedError
from support.logins import STRANGER, url_as
from support.stored_events import DIGEST, EVENT_ID, add_event

Connection = psycopg.Connection[tuple[object, ...]]
LOGINS = [*Role, STRANGER]
TABLE_PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
DATA = sorted(table for table in TABLES if not table.endswith(("_lock", "_locks")))
ADD_EVENT = add_event()
SAME = "SELECT * FROM same_events('{x}', '{d}')"
GATES = "SELECT FROM gate_locks FOR UPDATE"
MAKE_FUNCTION = "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'"
FORGET = "SELECT forget_audit(age, 1), forget_spends(age, 1) FROM (SELECT interval '1d') AS x(age)"
WORKER_MAY_NOT = (
    *(f"DELETE FROM {table}" for table in ("audit_entries", "spends", "signed_calls")),
    *("SELECT actor FROM audit_entries", "SELECT signature FROM signed_calls"),
)


@pytest.fixture(scope="module")
def module_url(servers: dict[str, str]) -> Iterator[str]:
    """Create one database for the tests that change nothing; a database each would take minutes."""
    server = servers["database_url"].rsplit("/", 1)[0]
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE roles TEMPLATE activityctl")
        yield f"{server}/roles"
        connection.execute("DROP DATABASE roles WITH (FORCE)")


@pytest.fixture(scope="module")
def owner(module_url: str) -> Iterator[Connection]:
    """Connect as the owner, in autocommit mode."""
    with psycopg.connect(module_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def superuser(servers: dict[str, str]) -> Iterator[Connection]:
    """Connect as the superuser, in autocommit mode."""
    with psycopg.connect(servers["superuser_url"], autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def logged_in(module_url: str) -> Iterator[dict[str, Connection]]:
    """Connect each login once."""
    with ExitStack() as stack:
        yield {
            login: stack.enter_context(psycopg.connect(url_as(module_url, login)))
            for login in LOGINS
        }


def refused(connection: Connection, statement: str) -> bool:
    """Return whether the login lacks the right to run the statement; nothing is committed."""
    try:
        connection.execute(statement.encode())
    except psycopg.errors.InsufficientPrivilege:
        return True
    finally:
        connection.rollback()
    return False


def columns_of(owner: Connection, table: str) -> list[str]:
    rows = owner.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
        " AND NOT attisdropped ORDER BY attnum",
        (table,),
    )
    return [str(name) for (name,) in rows.fetchall()]


# ---- the table of rights -------------------------------------------------------------


def test_each_table_and_function_of_the_schema_has_a_decision_for_each_role(
    owner: Connection,
):
    tables = owner.execute(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind IN ('r', 'p', 'v', 'm', 'f')"
    ).fetchall()
    functions = owner.execute(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    ).fetchall()
    assert {name for (name,) in tables} == set(TABLES)
    ours = {
        name.replace(", ", ",").replace("timestamptz", "timestamp with time zone")
        for name in FUNCTIONS
    }
    assert {name for (name,) in functions} == ours
    for rights in (*TABLES.values(), *FUNCTIONS.values()):
        assert set(rights) == set(Role)


@pytest.mark.parametrize("role", Role)
def test_a_role_has_the_rights_of_the_table_and_no_others(owner: Connection, role: Role):
    found, expected = set(), set()
    for table, rights in TABLES.items():
        whole = re.sub(r"\w+ \([^)]*\)", "", rights[role])
        expected |= {(table, privilege) for privilege in TABLE_PRIVILEGES if privilege in whole}
        for privilege in TABLE_PRIVILEGES:
            (held,) = owner.execute(
                "SELECT has_table_privilege(%s, %s, %s)",
                (f"activityctl_{role}", table, privilege),
            ).fetchone() or (None,)
            if held:
                found.add((table, privilege))
    assert found == expected


@pytest.mark.parametrize("role", Role)
def test_a_right_to_columns_is_a_right_to_those_columns_only(owner: Connection, role: Role):
    for table, rights in TABLES.items():
        for privilege, columns in re.findall(r"(\w+) \(([^)]*)\)", rights[role]):
            may = {
                column
                for column in columns_of(owner, table)
                if owner.execute(
                    "SELECT has_column_privilege(%s, %s, %s, %s)",
                    (f"activityctl_{role}", table, column, privilege),
                ).fetchone()
                == (True,)
            }
            assert may == set(columns.split(", ")), table


def test_the_functions_that_run_as_the_owner_are_closed_to_strangers(
    owner: Connection,
):
    rows = owner.execute(
        "SELECT oid::regprocedure::text, proconfig,"
        " has_function_privilege('login_stranger', oid, 'EXECUTE')"
        " FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef"
    ).fetchall()
    assert len(rows) == 5
    for name, config, is_open in rows:
        assert config == ["search_path=pg_catalog, pg_temp"], name
        assert not is_open, name


# ---- what each login is refused ------------------------------------------------------


@pytest.mark.parametrize("table", DATA)
def test_a_reader_writes_nothing(logged_in: dict[str, Connection], table: str):
    for statement in (
        f"INSERT INTO {table} DEFAULT VALUES",
        f"DELETE FROM {table}",
        f"TRUNCATE {table}",
        f"LOCK TABLE {table} IN EXCLUSIVE MODE",
        f"SELECT FROM {table} FOR UPDATE",
        f"DROP TABLE {table}",
        f"ALTER TABLE {table} ADD COLUMN x int",
        f"CREATE TRIGGER x BEFORE INSERT ON {table} EXECUTE FUNCTION f()",
    ):
        assert refused(logged_in[Role.READ], statement), statement


@pytest.mark.parametrize("table", [table for table in DATA if table != "alembic_version"])
@pytest.mark.parametrize("login", [Role.EMIT, STRANGER])
def test_an_emitter_and_a_stranger_read_and_write_nothing(
    logged_in: dict[str, Connection], table: str, login: str
):
    for statement in (
        f"SELECT count(*) FROM {table}",
        f"DELETE FROM {table}",
        f"INSERT INTO {table} DEFAULT VALUES",
        f"COPY {table} TO STDOUT",
        f"SELECT FROM {table} FOR KEY SHARE",
    ):
        assert refused(logged_in[login], statement), statement


def test_an_emitter_stores_events_and_learns_nothing_of_others(
    owner: Connection, logged_in: dict[str, Connection]
):
    owner.execute(ADD_EVENT.encode())
    connection = logged_in[Role.EMIT]
    assert connection.execute(ADD_EVENT.encode()).fetchone() == ([EVENT_ID],)
    same = "SELECT * FROM same_events(%s, %s)"
    guesses = ([EVENT_ID, EVENT_ID, "y"], ["other", DIGEST, DIGEST])
    assert connection.execute(same, guesses).fetchall() == [(EVENT_ID, DIGEST)]
    assert connection.execute(same, ([EVENT_ID], ["other"])).fetchall() == []
    connection.rollback()
    assert owner.execute("SELECT count(*) FROM events").fetchone() == (1,)


@pytest.mark.parametrize(
    "statement",
    [
        *[
            f"SELECT count(*) FROM {table}"
            for table in DATA
            if table
            not in {
                "alembic_version",
                "definitions",
                "revisions",
                "subscriptions",
                "calendars",
                "event_sources",
                "runs",
                "firings",
                "gatherings",
            }
        ],
        *[f"SELECT {column} FROM firings" for column in ("*", "payload", "params", "firing_key")],
        *[f"SELECT {column} FROM gatherings" for column in ("*", "key")],
        "SELECT * FROM subscriptions",
        "SELECT state FROM subscriptions",
        "SELECT pause_reason FROM subscriptions",
        *[
            f"SELECT {column} FROM runs"
            for column in ("*", "params", "events", "context", "reason", "firing_key")
        ],
        "COPY runs TO STDOUT",
        "UPDATE subscriptions SET status = 'paused'",
        "DELETE FROM revisions",
        "INSERT INTO definitions DEFAULT VALUES",
        "SELECT FROM revisions FOR UPDATE",
    ],
)
def test_a_planner_sees_manifests_and_nothing_that_runs_have_written(
    logged_in: dict[str, Connection], statement: str
):
    assert refused(logged_in[Role.PLAN], statement)


@pytest.mark.parametrize(
    ("login", "statement"),
    [
        (Role.APPLY, "DELETE FROM runs"),
        (Role.APPLY, "UPDATE runs SET status = 'succeeded'"),
        (Role.APPLY, "UPDATE tasks SET output = NULL"),
        (Role.APPLY, "DELETE FROM events"),
        (Role.APPLY, "UPDATE events SET routed_at = now()"),
        (Role.APPLY, ADD_EVENT),
        (Role.APPLY, "UPDATE revisions SET spec = '{}'"),
        (Role.APPLY, "DELETE FROM apply_changes"),
        (Role.APPLY, "UPDATE log_entries SET message = ''"),
        (Role.APPLY, "DELETE FROM log_entries"),
        (Role.APPLY, "DELETE FROM subscriptions"),
        (Role.APPLY, "LOCK TABLE router_lock IN EXCLUSIVE MODE"),
        (Role.APPLY, "UPDATE chain_readings SET number = 0"),
        (Role.APPLY, "INSERT INTO chain_watches DEFAULT VALUES"),
        (Role.APPLY, "UPDATE chain_watches SET after_block = 0"),
        (Role.APPLY, "SELECT FROM chain_blocks"),
        (Role.WORKER, "DELETE FROM chain_watches"),
        (Role.WORKER, "INSERT INTO revisions DEFAULT VALUES"),
        (Role.WORKER, "UPDATE revisions SET spec = '{}'"),
        (Role.WORKER, "UPDATE definitions SET revision_id = ''"),
        (Role.WORKER, "UPDATE subscriptions SET params = '{}'"),
        (Role.WORKER, "UPDATE subscriptions SET definition = ''"),
        (Role.WORKER, "INSERT INTO schedules DEFAULT VALUES"),
        (Role.WORKER, "DELETE FROM subscriptions"),
        (Role.WORKER, "DELETE FROM revisions"),
        (Role.WORKER, "UPDATE log_entries SET message = ''"),
        (Role.WORKER, "UPDATE events SET document = '{}'"),
        (Role.WORKER, "SELECT FROM apply_changes"),
        (Role.WORKER, "INSERT INTO applies DEFAULT VALUES"),
        *[(login, "CREATE TABLE mine ()") for login in LOGINS],
        *[(login, MAKE_FUNCTION) for login in LOGINS],
        *[
            (login, f"LOCK TABLE {lock.table}_lock IN EXCLUSIVE MODE")
            for lock in Lock
            for login in (Role.READ, Role.PLAN, Role.EMIT, STRANGER)
        ],
        *[(login, GATES) for login in (Role.READ, Role.PLAN, Role.EMIT, Role.APPLY, STRANGER)],
        *[(login, ADD_EVENT) for login in (Role.READ, Role.PLAN, STRANGER)],
        *[(login, SAME) for login in (Role.READ, Role.PLAN, Role.APPLY, STRANGER)],
        *[
            (login, "SELECT keep_events('{x}')")
            for login in (Role.READ, Role.PLAN, Role.EMIT, Role.WORKER, STRANGER)
        ],
        *((login, FORGET) for login in (Role.READ, Role.APPLY, Role.SIGNER, STRANGER)),
        *((Role.WORKER, text) for text in WORKER_MAY_NOT),
    ],
)
def test_a_role_is_refused_what_it_does_not_need(
    logged_in: dict[str, Connection], login: str, statement: str
):
    assert refused(logged_in[login], statement)


# ---- creating roles ------------------------------------------------------------------


def test_an_owner_without_superuser_creates_the_roles_and_takes_back_other_rights(
    superuser: Connection, servers: dict[str, str]
):
    server = servers["database_url"].rsplit("/", 1)[0]
    superuser.execute("CREATE ROLE login_plain LOGIN CREATEROLE PASSWORD 'secret'")
    superuser.execute("CREATE DATABASE plain TEMPLATE template0 OWNER login_plain")
    plain = url_as(f"{server}/plain", "plain")
    try:
        wiring.migrate(plain, roles_prefix="plain")
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute("GRANT ALL ON runs TO plain_read")
            connection.execute("GRANT UPDATE (params) ON subscriptions TO plain_worker")
        wiring.migrate(plain, roles_prefix="plain")
        with psycopg.connect(plain, autocommit=True) as connection:
            row = connection.execute(
                "SELECT has_table_privilege('plain_read', 'runs', 'DELETE'),"
                " has_table_privilege('plain_read', 'runs', 'SELECT'),"
                " has_column_privilege('plain_worker', 'subscriptions', 'params', 'UPDATE'),"
                " has_column_privilege('plain_worker', 'subscriptions', 'state', 'UPDATE')"
            ).fetchone()
            assert row == (False, True, False, True)
    finally:
        superuser.execute("DROP DATABASE plain WITH (FORCE)")
        for role in Role:
            superuser.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(f"plain_{role}")))
        superuser.execute("DROP ROLE login_plain")


def test_a_migration_keeps_the_rights_of_the_roles_up_to_date(
    owner: Connection, module_url: str, logged_in: dict[str, Connection]
):
    owner.execute("REVOKE SELECT ON runs FROM activityctl_read")
    wiring.migrate(module_url)
    assert refused(logged_in[Role.READ], "SELECT FROM runs"), "nothing was migrated"
    script = wiring.migration_script(module_url)[1]
    assert 'GRANT SELECT ON "public".runs TO activityctl_read' in script
    wiring.migrate(module_url, roles_prefix="activityctl")
    assert not refused(logged_in[Role.READ], "SELECT FROM runs")


def test_a_migration_keeps_roles_of_a_version_without_plan_and_creates_none(
    owner: Connection, superuser: Connection, servers: dict[str, str]
):
    server = servers["database_url"].rsplit("/", 1)[0]
    owner.execute("CREATE DATABASE older TEMPLATE activityctl")
    try:
        wiring.migrate(f"{server}/older", roles_prefix="older")
        address = servers["superuser_url"].rsplit("/", 1)[0]
        with psycopg.connect(f"{address}/older", autocommit=True) as connection:
            connection.execute("DROP OWNED BY older_plan; DROP ROLE older_plan")
        script = wiring.migration_script(f"{server}/older")[1]
        assert "older_plan" not in script
        assert 'GRANT SELECT ON "public".runs TO older_read' in script
        wiring.migrate(f"{server}/older", roles_prefix="older")
        assert "TO older_plan" in wiring.migration_script(f"{server}/older")[1]
    finally:
        owner.execute("DROP DATABASE older WITH (FORCE)")
        for role in Role:
            drop = sql.SQL("DROP ROLE IF EXISTS {}")
            superuser.execute(drop.format(sql.Identifier(f"older_{role}")))


def test_a_dry_run_changes_nothing(owner: Connection, module_url: str):
    missing, script = wiring.migration_script(module_url, roles_prefix="other")
    assert missing == []
    assert "CREATE ROLE other_read NOLOGIN" in script
    assert owner.execute("SELECT FROM pg_roles WHERE rolname = 'other_read'").fetchall() == []


def test_a_login_of_the_same_name_is_never_given_rights(owner: Connection, module_url: str):
    owner.execute("CREATE ROLE taken_read LOGIN")
    try:
        with pytest.raises(ConflictError, match="taken_read"):
            wiring.migrate(module_url, roles_prefix="taken")
    finally:
        owner.execute("DROP ROLE taken_read")


@pytest.mark.parametrize("prefix", ["", "A", "a-b", "a;b", "1a", "a" * 49])
def test_a_prefix_is_a_plain_name(module_url: str, prefix: str):
    with pytest.raises(InvalidInputError):
        wiring.migrate(module_url, roles_prefix=prefix)


@pytest.mark.parametrize("login", LOGINS)
def test_only_the_owner_creates_roles(module_url: str, login: str):
    with pytest.raises(NotAllowedError):
        wiring.migrate(url_as(module_url, login), roles_prefix="activityctl")


def test_a_refusal_names_the_roles_with_the_right():
    assert roles_with_rights("events") == [
        "read (SELECT)",
        "apply (SELECT)",
        "worker (SELECT, UPDATE, DELETE)",
    ]
    assert roles_with_rights("add_events") == ["emit (EXECUTE)", "worker (EXECUTE)"]
    assert roles_with_rights("unknown") == []
