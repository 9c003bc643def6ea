"""Profiles that name where a secret is: in the key store, a variable or a file."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from support.forked import run_command

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
BACKENDS = Path(__file__).parent / "keyring_backends"
ENTRY = "keyring:activityctl/prod-db"


@dataclass(frozen=True)
class Member:
    """A user with a config file, a key store and a database that needs a password."""

    folder: Path
    url: str
    """Without its password."""
    password: str
    variables: dict[str, str]

    def __call__(
        self, *arguments: str, code: int = 0, stdin: str = "", program: str = "activityctl"
    ) -> subprocess.CompletedProcess[str]:
        if program == "activityctl":
            done = run_command(
                *arguments, environment=self.variables, folder=self.folder, stdin=stdin, timeout=60
            )
        else:
            done = subprocess.run(
                [str(BIN / program), *arguments],
                env=self.variables,
                cwd=self.folder,
                input=stdin,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        assert done.returncode == code, done.stdout + done.stderr
        assert self.password not in done.stdout + done.stderr
        return done

    def having(self, **variables: str) -> "Member":
        return replace(self, variables={**self.variables, **variables})

    def add(self, reference: str, *more: str) -> None:
        url = ("--database-url", self.url, "--database-password-ref", reference)
        self("config", "add", "prod", *url, *more, "--replace")
        self("config", "use", "prod")

    def keep(self, secret: str, entry: str = "prod-db") -> None:
        """Store a secret in the key store, as the hint says."""
        self("set", "activityctl", entry, stdin=secret, program="keyring")

    def settings(self) -> dict[str, Any]:
        found = json.loads(self("config", "show", "-o", "json").stdout)["settings"]
        return {setting["name"]: setting["value"] for setting in found}


@pytest.fixture
def member(database_url: str, tmp_path: Path) -> Member:
    head, _, rest = database_url.partition("://")
    user, _, tail = rest.partition(":")
    password, _, place = tail.partition("@")
    variables = {
        **{name: text for name, text in os.environ.items() if name.startswith(("LANG", "LC_"))},
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(BACKENDS),
        "ACTIVITYCTL_HOME": str(tmp_path / "home"),
        "ACTIVITYCTL_CONFIG": str(tmp_path / "config.toml"),
        "PYTHON_KEYRING_BACKEND": "team_keyring.TeamKeyring",
        "TEAM_KEYRING_FILE": str(tmp_path / "entries.json"),
    }
    return Member(tmp_path, f"{head}://{user}@{place}", password, variables)


def test_a_password_comes_from_the_key_store_and_is_never_shown(member: Member):
    member.add(ENTRY)
    missing = member("get", "runs", code=3)
    assert f"has no entry for database_password_ref: {ENTRY}" in missing.stderr
    assert "hint: keyring set activityctl prod-db\n" in missing.stderr
    member.keep("a wrong one")
    assert "password authentication failed" in member("get", "runs", code=6).stderr
    member.keep(member.password)
    assert "No runs found." in member("get", "runs").stderr
    assert member.settings()["database_password_ref"] == ENTRY
    assert member.settings()["database_url"] == member.url
    assert ENTRY in member("config", "show").stdout
    assert member.password not in (member.folder / "config.toml").read_text("utf-8")


def test_a_password_comes_from_a_variable_or_a_file(member: Member):
    member.add("env:DB_PASSWORD")
    missing = member("get", "runs", code=3)
    assert "env:DB_PASSWORD, which is not set\nhint: export DB_PASSWORD=" in missing.stderr
    member.having(DB_PASSWORD=member.password)("get", "runs")
    path = member.folder / "password"
    member.add(f"file:{path}")
    assert "which cannot be used: there is no such file" in member("get", "runs", code=3).stderr
    path.write_text(f"{member.password}\n", "utf-8")
    member("get", "runs")
    path.write_text("\n", "utf-8")
    assert "it is empty or contains a NUL" in member("get", "runs", code=3).stderr
    path.unlink()
    os.mkfifo(path)
    assert "it is not a regular file" in member("get", "runs", code=3).stderr


def test_a_schema_is_migrated_with_a_referenced_password(member: Member):
    member.keep(member.password)
    member.add(ENTRY, "--temporal-address", "127.0.0.1:1")
    program = (
        "import asyncio; from activityctl import wiring; from activityctl.settings import *;"
        "wiring.migrate(asyncio.run(wiring.database_url(load_settings())))"
    )
    member("-c", program, program="python")


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        ("keyring.backends.fail.Keyring", "this system has no key store"),
        ("keyring.backends.null.Keyring", "this system has no key store"),
        ("team_keyring.LockedKeyring", "KeyringLocked: no to activityctl prod-db"),
        ("team_keyring.SilentKeyring", "the key store did not answer within 5 s"),
        ("team_keyring.NoSuchKeyring", "the key store cannot be read"),
        ("keyrings.alt.file.PlaintextKeyring", "stores secrets as plain text and is not used"),
    ],
)
def test_a_key_store_that_cannot_be_used_is_reported(member: Member, backend: str, message: str):
    folder = member.folder / "more" / "keyrings" / "alt"
    folder.mkdir(parents=True)
    source = (BACKENDS / "team_keyring.py").read_text("utf-8")
    (folder / "file.py").write_text(source.replace("TeamKeyring", "PlaintextKeyring"))
    member.add(ENTRY)
    member.keep(member.password)
    path = f"{BACKENDS}:{member.folder / 'more'}"
    done = member.having(PYTHON_KEYRING_BACKEND=backend, PYTHONPATH=path)("get", "runs", code=7)
    assert message in done.stderr
    assert "name the secret as env:NAME or file:/PATH\n" in done.stderr


def test_a_password_in_the_url_is_refused_or_warned_about(member: Member):
    url = member.url.replace("@", ":hunter2@")
    for given in (url, f"{member.url}?password=hunter2", "host=h password=hunter2"):
        done = member("config", "add", "prod", "--database-url", given, code=2)
        assert "--database-password-ref keyring:activityctl/prod-db" in done.stderr
        assert "hunter2" not in done.stderr
    assert not (member.folder / "config.toml").exists()
    done = member("config", "add", "prod", "--database-url", "-", stdin=url)
    assert "better: keyring set activityctl prod-db, then" in done.stderr
    twice = ("--database-url", "-", "--database-password-ref", ENTRY)
    member("config", "add", "other", *twice, code=2, stdin=url)


@pytest.mark.parametrize("reference", ["hunter2", "keyring:hunter2", "vault:x/hunter2", "file:a"])
def test_an_invalid_reference_is_refused_and_never_shown(member: Member, reference: str):
    words = ("--database-url", member.url, "--database-password-ref", reference)
    done = member("config", "add", "prod", *words, code=3)
    assert "hint: write keyring:SERVICE/ENTRY, env:NAME or file:/PATH" in done.stderr
    assert "hunter2" not in done.stderr


def test_a_secret_needs_the_address_that_it_is_for(member: Member):
    for words, address in (
        (("--database-password-ref", ENTRY), "--database-url"),
        (
            ("--database-url", member.url, "--temporal-api-key-ref", ENTRY),
            "--temporal-address",
        ),
    ):
        done = member("config", "add", "prod", *words, code=2)
        assert f"hint: also give {address}" in done.stderr


def test_the_password_of_a_profile_is_not_sent_to_another_address(member: Member):
    member.keep(member.password)
    member.add(ENTRY)
    astray = member.having(ACTIVITYCTL_DATABASE_URL=member.url)("get", "runs", code=6)
    assert (
        "database_password_ref of profile prod belongs to the address in the same place"
        in astray.stderr
    )
    assert "environment ACTIVITYCTL_DATABASE_URL" in astray.stderr
    own = member.url.replace("@", f":{member.password}@")
    member.having(ACTIVITYCTL_DATABASE_URL=own)("get", "runs")
    reference = {"ACTIVITYCTL_DATABASE_PASSWORD_REF": ENTRY}
    member.having(ACTIVITYCTL_DATABASE_URL=member.url, **reference)("get", "runs")


def temporal_check(member: Member) -> dict[str, Any]:
    checks = json.loads(member("doctor", "-o", "json", code=1).stdout)["checks"]
    return next(check for check in checks if check["name"] == "temporal")


def test_an_api_key_is_only_used_for_its_own_address(
    member: Member, servers: dict[str, str], unused_tcp_port: int
):
    member.keep(member.password)
    options = ("--temporal-address", servers["temporal_address"])
    member.add(ENTRY, *options, "--temporal-api-key-ref", "keyring:activityctl/temporal")
    plain = member.having(TEMPORAL_TLS="false")  # with an API key the client uses TLS by default
    assert "has no entry for temporal_api_key_ref" in temporal_check(plain)["found"]
    member.keep("hunter2", "temporal")
    assert temporal_check(plain)["state"] == "ok"
    elsewhere = plain.having(TEMPORAL_ADDRESS=f"127.0.0.1:{unused_tcp_port}")
    assert "environment TEMPORAL_ADDRESS" in temporal_check(elsewhere)["found"]
    with_key = temporal_check(elsewhere.having(TEMPORAL_API_KEY="another"))
    assert "does not answer" in with_key["found"]


def test_settings_print_no_secret_of_a_variable(member: Member):
    member.add("env:DB_PASSWORD")
    program = "from activityctl.settings import load_settings; print(repr(load_settings()))"
    done = member.having(DB_PASSWORD=member.password)("-c", program, program="python")
    assert "SecretReference(" in done.stdout


def test_keyring_is_loaded_only_where_a_reference_names_it(member: Member):
    program = "import sys; from activityctl.cli.main import _run; code = _run(sys.argv[1:]);"
    look = ("-c", f"{program} print(code, 'keyring' in sys.modules)", "get", "runs")
    member.keep(member.password)
    member.add("env:DB_PASSWORD")
    done = member.having(DB_PASSWORD=member.password)(*look, program="python")
    assert done.stdout == "0 False\n"
    member.add(ENTRY)
    assert member(*look, program="python").stdout == "0 True\n"
