"""Each role of the database with the real command: what it may do, and what it is refused."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from activityctl.adapters.postgres.rights import Role
from support.forked import run_command
from support.logins import STRANGER, url_as

MANIFEST = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: far}
spec:
  triggers: [{name: paid, event: {type: order.paid}}]
  tasks: [{name: one, command: {argv: [echo, far]}}]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: far}
spec: {activity: far, params: {}}
"""
EMIT = ("emit", "--type", "order.paid", "--source", "/shop")
READING = [
    ("plan", "-f", "far.yaml"),
    ("diff", "-f", "far.yaml"),
    ("get", "definitions"),
    ("get", "subscriptions"),
    ("get", "schedules"),
    ("get", "runs"),
    ("get", "tasks"),
    ("get", "events"),
    ("get", "deadletters"),
    ("get", "revisions"),
    ("describe", "subscription", "far"),
    ("describe", "event", "one"),
    ("logs", "far"),
    ("next", "far"),
    ("history", "subscription", "far"),
    ("export",),
    ("explain", "event", "one"),
]
ACTING = [
    ("trigger", "far", "--no-wait"),
    ("pause", "far"),
    ("resume", "far"),
    ("replay", "events", "--since", "1h", "--subscription", "far", "--yes"),
    ("delete", "subscription", "far", "--yes"),
    ("rollback", "subscription", "far", "--to", "1"),
    ("apply", "-f", "far.yaml"),
]

pytestmark = pytest.mark.slow
Call = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def call(servers: dict[str, str], database_url: str, tmp_path: Path) -> Call:
    """Run the real command as a login, or with another URL of a database."""
    (tmp_path / "far.yaml").write_text(MANIFEST)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ACTIVITYCTL_")}

    def run(
        login: str, *arguments: str, code: int | None = 0, url: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            **kept,
            "ACTIVITYCTL_HOME": str(tmp_path / "home"),
            "ACTIVITYCTL_DATABASE_URL": url or url_as(database_url, login),
            "TEMPORAL_ADDRESS": servers["temporal_address"],
        }
        done = run_command(*arguments, environment=environment, folder=tmp_path, timeout=60)
        if code is not None:
            assert done.returncode == code, f"{login}: {arguments}\n{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture
def filled(call: Call) -> Call:
    """Apply the manifest and store one event."""
    call(Role.APPLY, "apply", "-f", "far.yaml", "--no-wait")
    call(Role.EMIT, *EMIT, "--id", "one", "--data", '{"secret": 1}')
    return call


def test_a_reader_plans_and_looks_and_changes_nothing(filled: Call, database_url: str):
    for arguments in READING:
        filled(Role.READ, *arguments)
    with psycopg.connect(database_url, autocommit=True) as owner:
        count = "SELECT (SELECT count(*) FROM firings), (SELECT count(*) FROM applies), status"
        before = owner.execute(f"{count} FROM subscriptions".encode()).fetchall()
        for arguments in (*ACTING, (*EMIT, "--id", "two")):
            assert "error: Postgres refuses" in filled(Role.READ, *arguments, code=6).stderr
        assert owner.execute(f"{count} FROM subscriptions".encode()).fetchall() == before


def test_a_planner_plans_and_sees_no_events_inputs_or_outputs(filled: Call):
    for arguments in (
        *(("plan", "-f", "far.yaml", "-o", shape) for shape in ("text", "json", "markdown")),
        ("plan", "-f", "far.yaml", "--applyset", "main", "--prune", "--out", "plan.json"),
        ("get", "definitions"),
        ("get", "revisions"),
    ):
        filled(Role.PLAN, *arguments)
    assert filled(Role.PLAN, "diff", "-f", "far.yaml", code=0).stdout == ""
    for arguments in (
        ("get", "events"),
        ("get", "tasks"),
        ("get", "runs"),
        ("get", "subscriptions"),
        ("logs", "far"),
        ("describe", "event", "one"),
        ("plan", "-f", "far.yaml", "--since", "7d"),
        *ACTING,
        (*EMIT, "--id", "two"),
    ):
        assert "error: Postgres refuses" in filled(Role.PLAN, *arguments, code=6).stderr


def test_an_emitter_stores_events_once_and_reads_nothing(filled: Call):
    again = (*EMIT, "--id", "one", "--data")
    done = filled(Role.EMIT, *again, '{"secret": 2}', "-o", "json", code=5)
    assert "secret" not in done.stdout + done.stderr
    (shown,) = json.loads(filled(Role.EMIT, *EMIT, "--id", "two", "-o", "json").stdout)["items"]
    assert shown["outcome"] == "accepted"
    for arguments in (*READING, *ACTING):
        filled(Role.EMIT, *arguments, code=6)


def test_a_role_that_applies_acts_and_looks_and_stores_no_events(filled: Call):
    for arguments in (*READING, *ACTING):
        filled(Role.APPLY, *arguments, code=None if arguments[0] in {"delete", "replay"} else 0)
    filled(Role.APPLY, "apply", "-f", "far.yaml", "--no-wait")
    accepted = filled(Role.APPLY, "trigger", "far", "--no-wait", "-o", "name").stdout.strip()
    assert "error: Postgres refuses" in filled(Role.READ, "cancel", accepted, code=6).stderr
    filled(Role.APPLY, "cancel", accepted)
    done = filled(Role.APPLY, *EMIT, "--id", "two", code=6)
    assert "emit (EXECUTE), worker (EXECUTE)" in done.stderr


def test_a_worker_cannot_change_what_it_runs(filled: Call, tmp_path: Path):
    (tmp_path / "far.yaml").write_text(MANIFEST.replace("echo, far", "echo, near"))
    filled(Role.WORKER, "apply", "-f", "far.yaml", code=6)
    filled(Role.WORKER, "delete", "subscription", "far", "--yes", code=6)


def test_a_stranger_is_refused_with_the_roles_that_may(filled: Call):
    for arguments in (READING[0], ACTING[0], (*EMIT, "--id", "two")):
        filled(STRANGER, *arguments, code=6)
    done = filled(STRANGER, "get", "runs", "-o", "json", code=6)
    told = json.loads(done.stderr)
    assert told["code"] == "not_allowed"
    assert "permission denied for table" in told["message"]
    assert "read (SELECT)" in told["hint"]
    assert filled(STRANGER, "doctor", code=1).stdout.count("permission denied") > 1


def test_the_owner_creates_roles_by_a_command(call: Call, database_url: str):
    shown = call("", "migrate", "--roles", "--dry-run", "--prefix", "other", url=database_url)
    assert "CREATE ROLE other_read NOLOGIN" in shown.stdout
    for _ in range(2):
        done = call("", "migrate", "--roles", url=database_url)
        assert "activityctl_read" in done.stderr
    done = call(Role.APPLY, "migrate", "--roles", code=6)
    assert "CREATEROLE" in done.stderr
    assert "add --roles" in call("", "migrate", "--prefix", "x", url=database_url, code=2).stderr


@pytest.mark.parametrize("command", ["get runs", "migrate", "plan -f far.yaml", "worker"])
def test_a_login_that_postgres_refuses_is_told(call: Call, database_url: str, command: str):
    address = database_url.rpartition("@")[2]
    for url, code, said in (
        (f"postgresql://login_read:wrong@{address}", 6, "password authentication failed"),
        (f"postgresql://nobody:wrong@{address}", 6, "password authentication failed"),
        (f"postgresql://login_read@{address}", 6, "no password supplied"),
        (f"postgresql://activityctl_read:x@{address}", 6, "refuses the login"),
        (f"{url_as(database_url, Role.READ)}x", 4, "not found"),
    ):
        done = call("", *command.split(), url=url, code=code)
        assert said in done.stderr, url
        assert "wrong" not in done.stderr
