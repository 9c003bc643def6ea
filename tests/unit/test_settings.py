"""Where settings come from, which source wins, and which values are invalid."""

import json
import re
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from activityctl.errors import InvalidInputError, NotFoundError, UnreachableError, UsageError
from activityctl.secret import SecretReference
from activityctl.setting_sources import setting_sources
from activityctl.settings import (
    DAEMON_FILE,
    PROFILE_KEYS,
    Secret,
    Settings,
    config_path,
    default_home,
    load_settings,
)

DAEMON = {
    "database_url": "postgresql://local",
    "temporal_address": "127.0.0.1:1",
    "api": "http://127.0.0.1:2",
}


@dataclass
class Machine:
    """A home, a config file and an environment for one test."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def configure(self, text: str) -> Path:
        path = self.folder / "config.toml"
        path.write_text(text, "utf-8")
        self.environment["ACTIVITYCTL_CONFIG"] = str(path)
        return path

    def start_daemon(self, text: str | None = None) -> None:
        self.home.mkdir()
        document = json.dumps({"addresses": DAEMON}) if text is None else text
        (self.home / DAEMON_FILE).write_text(document, "utf-8")

    def load(self, **flags: Any) -> Settings:
        return load_settings(flags, self.environment)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    environment = {"ACTIVITYCTL_HOME": str(tmp_path / "home")}
    environment["ACTIVITYCTL_CONFIG"] = str(tmp_path / "none.toml")
    return Machine(tmp_path, environment)


FILES = ("api_certificate", "issuers_file", "secrets_folder", "signer_certificate")
GIVEN: dict[str, tuple[Any, str, Any]] = {
    **dict.fromkeys((*FILES, "api_private_key"), ("/a", "/b", "/c")),
    "database_url": ("postgresql://a", "postgresql://b", "postgresql://c"),
    "database_password_ref": ("keyring:a/b", "env:B", "file:/c"),
    "temporal_address": ("a:1", "b:1", "c:1"),
    "temporal_namespace": ("a", "b", "c"),
    "temporal_api_key_ref": ("keyring:a/b/c", "env:B", "file:/c"),
    "temporal_payload_key_ref": ("keyring:a/b", "env:B", "file:/c"),
    "temporal_former_payload_key_ref": ("keyring:a/b", "env:B", "file:/c"),
    "log_format": ("json", "text", "json"),
    "temporal_ui": ("http://a", "https://b/x", "http://c"),
    "api_url": ("http://a", "http://b", "http://c"),
    "trusted_proxies": (["10.0.0.0/8"], "11.0.0.0/8", ["12.0.0.0/8"]),
    "allow_commands": (True, "false", True),
    "allow_http": (True, "0", True),
    "allowed_networks": (["10.0.0.0/8"], "11.0.0.0/8", ["12.0.0.0/8"]),
    "allowed_folders": (["/a"], "/b:/c", ["/d"]),
    "allowed_variables": (["A"], "B, C", ["D"]),
    "max_tasks": (5, "6", 7),
    "event_retention": ("2d", "3h", "0"),
    "retention": ("runs=1d", "logs=2d", "runs=3d/10"),
    "secrets_store": ("keyring", "file", "auto"),
    "secrets_key_file": ("/a", "fd:3", "/c"),
    "signer_address": ("a:1", "b:1", "c:1"),
    "signer_token_ref": ("keyring:a/b", "env:B", "file:/c"),
    "server": ("https://a", "https://b", "https://c"),
    "token_ref": ("keyring:a/b", "env:B", "file:/c"),
    "server_certificate": ("/a", "/b", "/c"),
    "server_insecure_http": (True, "false", True),
    "secrets_hosts": ("a=a.example", "b=b.example", "c=c.example"),
}
"""For each setting: a value for the profile, for the environment and for the flag."""


def shown(settings: Settings, key: str) -> Any:
    value = getattr(settings, key)
    if isinstance(value, SecretReference | Path):
        return str(value)
    return value.value if isinstance(value, Secret) else value


def expected(key: str, value: Any) -> Any:
    match key:
        case "allow_commands" | "allow_http" | "server_insecure_http":
            return value in {True, "true", "1"}
        case "allowed_networks" | "trusted_proxies":
            return tuple(map(ip_network, [value] if isinstance(value, str) else value))
        case "allowed_folders" | "allowed_variables":
            parts = re.split("[:,] ?", value) if isinstance(value, str) else value
            return tuple(map(Path if key == "allowed_folders" else str, parts))
        case "max_tasks":
            return int(value)
        case "event_retention":
            return {"2d": timedelta(days=2), "3h": timedelta(hours=3), "0": timedelta(0)}[value]
        case _:
            return value


def toml(value: Any) -> str:
    return json.dumps(value)


def test_every_setting_has_test_values():
    assert set(GIVEN) == PROFILE_KEYS


@pytest.mark.parametrize("key", sorted(PROFILE_KEYS))
def test_flag_then_environment_then_profile_then_daemon(machine: Machine, key: str):
    in_profile, in_environment, in_flag = GIVEN[key]
    machine.start_daemon()
    local = {"database_url": DAEMON["database_url"], "api_url": DAEMON["api"]}
    local |= {"temporal_address": DAEMON["temporal_address"]}
    assert shown(machine.load(), key) == local.get(key, getattr(Settings(machine.home), key))
    pair = "database_url = 'postgresql://db/x'\n" if key == "temporal_address" else ""
    machine.configure(f"default = 'x'\n[profiles.x]\n{pair}{key} = {toml(in_profile)}\n")
    assert shown(machine.load(), key) == expected(key, in_profile)
    machine.environment[f"ACTIVITYCTL_{key.upper()}"] = in_environment
    assert shown(machine.load(), key) == expected(key, in_environment)
    assert shown(machine.load(**{key: in_flag}), key) == expected(key, in_flag)
    assert shown(machine.load(**{key: None}), key) == expected(key, in_environment)


def test_temporals_own_variables_work_and_ours_take_precedence(machine: Machine):
    machine.environment |= {"TEMPORAL_ADDRESS": "t:1", "TEMPORAL_NAMESPACE": "n", "OTHER": "x"}
    settings = machine.load()
    assert (settings.temporal_address, settings.temporal_namespace) == ("t:1", "n")
    assert settings.temporal_environment == {"TEMPORAL_ADDRESS": "t:1", "TEMPORAL_NAMESPACE": "n"}
    machine.environment["ACTIVITYCTL_TEMPORAL_ADDRESS"] = "ours:1"
    machine.environment["ACTIVITYCTL_DATABASE_URL"] = "postgresql://db/x"
    assert machine.load().temporal_address == "ours:1"


def test_the_local_daemon_ignores_temporals_own_address(machine: Machine):
    machine.start_daemon()
    machine.environment["TEMPORAL_ADDRESS"] = "elsewhere:1"
    assert machine.load().temporal_address == DAEMON["temporal_address"]


def test_a_temporal_address_without_a_database_is_refused(machine: Machine):
    machine.environment["ACTIVITYCTL_TEMPORAL_ADDRESS"] = "ours:1"
    with pytest.raises(UsageError, match="no database"):
        machine.load()


@pytest.mark.parametrize("content", ["[]", '{"addresses": []}', "3", "null"])
def test_a_damaged_daemon_file_is_refused(machine: Machine, content: str):
    machine.home.mkdir(parents=True, exist_ok=True)
    (machine.home / "daemon.json").write_text(content)
    with pytest.raises(InvalidInputError, match="damaged"):
        machine.load()


def test_a_home_that_is_no_folder_is_named(machine: Machine):
    machine.home.write_text("a file")
    with pytest.raises(InvalidInputError, match="home is not a folder") as caught:
        machine.load()
    assert caught.value.hint == "set ACTIVITYCTL_HOME or --home to a folder of your own"


def test_with_nothing_set_the_local_daemon_is_used(machine: Machine):
    machine.start_daemon()
    settings = machine.load()
    assert settings.uses_local_daemon
    assert settings.required_database_url() == "postgresql://local"
    assert settings.required_temporal_address() == "127.0.0.1:1"
    assert settings.api_url == "http://127.0.0.1:2"


def test_with_another_database_the_local_daemon_is_not_used(machine: Machine):
    machine.start_daemon()
    machine.environment["ACTIVITYCTL_DATABASE_URL"] = "postgresql://own"
    settings = machine.load()
    assert not settings.uses_local_daemon
    assert settings.required_database_url() == "postgresql://own"
    assert (settings.temporal_address, settings.api_url) == (None, None)


def test_without_a_daemon_the_hint_says_how_to_start_one(machine: Machine):
    settings = machine.load()
    for asked in (settings.required_database_url, settings.required_temporal_address):
        with pytest.raises(UnreachableError) as caught:
            asked()
        assert caught.value.hint == "activityctl up -d"
    with pytest.raises(UnreachableError, match=re.escape(str(machine.home))):
        settings.required_database_url()


def test_the_message_names_an_invalid_daemon_file(machine: Machine):
    machine.start_daemon("{")
    with pytest.raises(InvalidInputError, match=DAEMON_FILE) as caught:
        machine.load()
    assert caught.value.hint == "restart the daemon: activityctl down, then activityctl up -d"


def test_the_home_is_the_flag_the_variable_or_the_users_folder(machine: Machine, tmp_path: Path):
    assert machine.load(home=str(tmp_path / "other")).home == tmp_path / "other"
    assert machine.load().home == machine.home
    assert default_home({"ACTIVITYCTL_HOME": "~/x"}) == Path.home() / "x"
    assert default_home({}).name == "activityctl"
    assert default_home({}).is_absolute()


# ---- profiles


def test_the_profile_comes_from_flag_then_environment_then_default(machine: Machine):
    names = ["a", "b", "c"]
    tables = "".join(f"[profiles.{name}]\ntemporal_namespace = '{name}'\n" for name in names)
    machine.configure(f"default = 'a'\n{tables}")
    assert (machine.load().profile, machine.load().temporal_namespace) == ("a", "a")
    assert machine.load().temporal_namespace_is_set
    machine.environment["ACTIVITYCTL_PROFILE"] = "b"
    assert machine.load().temporal_namespace == "b"
    assert machine.load(profile="c").temporal_namespace == "c"


def test_a_config_file_without_a_default_changes_nothing(machine: Machine):
    machine.configure("[profiles.a]\nmax_tasks = 1\n")
    assert (machine.load().profile, machine.load().max_tasks) == (None, 50)


@pytest.mark.parametrize("text", [None, "", "[profiles.a]\n", "profiles = 5\n"])
def test_an_unknown_profile_is_not_found(machine: Machine, text: str | None):
    if text is not None:
        machine.configure(text)
    with pytest.raises(NotFoundError, match='profile "nope" not found') as caught:
        machine.load(profile="nope")
    assert caught.value.hint
    assert "write [profiles.nope] into" in caught.value.hint


def test_an_unknown_setting_is_refused_with_the_known_ones(machine: Machine):
    path = machine.configure("default = 'a'\n[profiles.a]\ndatabse_url = 'x'\n")
    with pytest.raises(InvalidInputError) as caught:
        machine.load()
    assert caught.value.message == f"{path}: profiles.a: unknown setting 'databse_url'"
    assert caught.value.hint
    assert "database_url" in caught.value.hint


@pytest.mark.parametrize("content", [b"default = ", b"[profiles.a\n", b"x = '\xff'"])
def test_the_message_names_an_invalid_config_file(machine: Machine, content: bytes):
    path = machine.configure("")
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"config\.toml") as caught:
        machine.load()
    assert caught.value.hint == "fix the config file"


def test_the_config_file_is_in_the_users_folder_by_default(machine: Machine):
    assert config_path(machine.environment) == machine.folder / "none.toml"
    assert config_path({}).parts[-2:] == ("activityctl", "config.toml")


# ---- values


@pytest.mark.parametrize("key", ["allow_commands", "allow_http"])
@pytest.mark.parametrize("value", ["yes", "on", "2", "tru", " true"])
def test_a_boolean_is_true_or_false(machine: Machine, key: str, value: str):
    machine.environment[f"ACTIVITYCTL_{key.upper()}"] = value
    with pytest.raises(UsageError) as caught:
        machine.load()
    source = f"environment ACTIVITYCTL_{key.upper()}"
    assert caught.value.message == f"{key} ({source}) has the invalid value {value!r}"
    assert caught.value.hint == f"set {key} to true or false"


@pytest.mark.parametrize(("value", "meant"), [("TRUE", True), ("1", True), ("False", False)])
def test_booleans_ignore_case(machine: Machine, value: str, meant: object):
    machine.environment["ACTIVITYCTL_ALLOW_HTTP"] = value
    assert machine.load().allow_http is meant


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", " 5", True, 0, 2.0])
def test_max_tasks_is_a_whole_number_of_at_least_one(machine: Machine, value: Any):
    with pytest.raises(UsageError) as caught:
        machine.load(max_tasks=value)
    assert caught.value.hint == "set max_tasks to a whole number, 1 or more"


@pytest.mark.parametrize("value", ["30", "-1d", "1w", "1h30m", "", "many", 5, True])
def test_a_retention_has_a_unit_or_is_zero(machine: Machine, value: Any):
    with pytest.raises(UsageError) as caught:
        machine.load(event_retention=value)
    hint = "set event_retention to days, hours or minutes, such as 30d, 12h or 90m, or to 0"
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("text", "shown"), [("48h", "2d"), ("90m", "90m"), ("120m", "2h"), ("0d", "0"), ("0", "0")]
)
def test_a_retention_is_shown_in_its_largest_unit(machine: Machine, text: str, shown: str):
    flags = {"event_retention": text}
    sources = setting_sources(flags, machine.environment)
    assert {source.name: source.value for source in sources}["event_retention"] == shown


def test_the_settings_of_the_local_daemons_worker_are_shown(machine: Machine):
    def shown(**environment: str) -> dict[str, tuple[Any, str]]:
        sources = setting_sources({}, {**machine.environment, **environment})
        return {source.name: (source.value, source.source) for source in sources}

    local = "local daemon, unless `up` was started with another value"
    assert shown()["allow_commands"] == (True, local)
    assert shown()["allowed_networks"] == (["127.0.0.0/8", "::1/128"], local)
    denied = shown(ACTIVITYCTL_ALLOW_COMMANDS="false")["allow_commands"]
    assert denied == (False, "environment ACTIVITYCTL_ALLOW_COMMANDS")
    elsewhere = shown(
        ACTIVITYCTL_DATABASE_URL="postgresql://h/d", ACTIVITYCTL_TEMPORAL_ADDRESS="t:1"
    )
    assert elsewhere["allow_commands"] == (False, "default")


@pytest.mark.parametrize("value", ["10.0.0.1/8", "10.0.0.0/33", "localhost", "::1/64", "10/8,", 5])
def test_a_network_is_a_cidr(machine: Machine, value: Any):
    with pytest.raises(UsageError) as caught:
        machine.load(allowed_networks=value)
    assert caught.value.message.startswith("allowed_networks")
    assert caught.value.hint == "write CIDRs, such as 10.0.0.0/8"


def test_networks_are_a_list_or_separated_by_commas(machine: Machine):
    networks = (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    assert machine.load(allowed_networks="10.0.0.0/8, ::1").allowed_networks == networks
    assert machine.load(allowed_networks=["10.0.0.0/8", "::1"]).allowed_networks == networks


# ---- secrets


def test_secrets_are_masked_wherever_settings_are_printed(machine: Machine):
    machine.environment |= {
        "ACTIVITYCTL_DATABASE_URL": "postgresql://user:hunter2@host/db",
        "TEMPORAL_API_KEY": "hunter2",
        "PATH": "/hunter2",
    }
    settings = machine.load()
    assert settings.temporal_environment["TEMPORAL_API_KEY"] == "hunter2"
    for text in (repr(settings), str(settings), f"{settings.database_url}", str([settings])):
        assert "hunter2" not in text
    assert "Secret(***)" in repr(settings)
    assert settings.required_database_url() == "postgresql://user:hunter2@host/db"


def test_commands_of_tasks_inherit_no_secret(machine: Machine):
    machine.environment |= {"PATH": "/bin", "LANG": "", "AWS_SECRET": "x", "TEMPORAL_API_KEY": "y"}
    assert machine.load().task_environment == {"PATH": "/bin"}


def test_the_ports_of_the_local_daemon_are_known_whatever_database_is_used(tmp_path: Path):
    document = {"addresses": {}, "ports": {"postgres": 20001, "temporal": 20002}}
    (tmp_path / "daemon.json").write_text(json.dumps(document))
    for environment in ({}, {"ACTIVITYCTL_DATABASE_URL": "postgresql://db.example/a"}):
        settings = load_settings({"home": tmp_path}, environment)
        assert settings.own_ports == {20001, 20002}


def test_variables_give_secrets_by_the_name_in_them(machine: Machine):
    machine.environment["ACTIVITYCTL_SECRET_CRM_TOKEN"] = "hunter2-of-crm"
    machine.environment["ACTIVITYCTL_SECRET_EMPTY"] = ""
    machine.environment["ACTIVITYCTL_SECRETS_FOLDER"] = "/run/secrets"
    settings = machine.load()
    assert {name: secret.value for name, secret in settings.secret_variables.items()} == {
        "crm-token": "hunter2-of-crm"
    }
    assert settings.secrets_folder == "/run/secrets"
    assert "hunter2" not in repr(settings)


def test_a_store_that_does_not_exist_is_refused(machine: Machine):
    with pytest.raises(UsageError) as caught:
        machine.load(secrets_store="vault")
    assert caught.value.hint == "set secrets_store to auto, keyring, file"
