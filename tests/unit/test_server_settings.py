"""Which server commands speak to, and which token is sent to it."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from activityctl.errors import NotAllowedError, UsageError
from activityctl.settings import DAEMON_FILE, Secret, Settings, load_settings


@dataclass
class Machine:
    """A home, a config file and an environment for one test."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def configure(self, text: str) -> None:
        (self.folder / "config.toml").write_text(text, "utf-8")

    def load(self, **flags: Any) -> Settings:
        return load_settings({"home": self.folder, **flags}, self.environment)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, {"ACTIVITYCTL_CONFIG": str(tmp_path / "config.toml")})


SERVER = "https://automations.example"


def test_the_nearer_of_database_and_server_counts(machine: Machine):
    machine.configure(f'[profiles.prod]\nserver = "{SERVER}/"\ntoken_ref = "env:T"\n')
    machine.environment |= {"ACTIVITYCTL_PROFILE": "prod", "T": "secret"}
    found = machine.load()
    assert (found.server, found.uses_local_daemon) == (SERVER, False)
    assert found.token_ref is not None
    assert found.token_ref.found == Secret("secret")
    machine.environment["ACTIVITYCTL_DATABASE_URL"] = "postgresql://db"
    assert machine.load().server is None
    assert machine.load(server="https://b.example").server == "https://b.example"
    machine.environment["ACTIVITYCTL_SERVER"] = SERVER
    with pytest.raises(UsageError, match="are both set"):
        machine.load()


def test_the_token_of_a_profile_is_for_its_own_server(machine: Machine):
    machine.configure(f'[profiles.prod]\nserver = "{SERVER}"\ntoken_ref = "env:T"\n')
    found = machine.load(profile="prod", server="https://other.example")
    assert found.token_ref is not None
    with pytest.raises(NotAllowedError, match="belongs to the address in the same place"):
        found.token_ref.require_own_address()


def test_the_server_of_the_local_daemon_is_known(machine: Machine):
    addresses = {"database_url": "postgresql://local", "api": "http://127.0.0.1:2"}
    (machine.folder / DAEMON_FILE).write_text(json.dumps({"addresses": addresses}), "utf-8")
    for url in ("http://127.0.0.1:2", "http://localhost:2/"):
        assert machine.load(server=url).uses_local_daemon
    assert not machine.load(server="http://127.0.0.1:3").uses_local_daemon


@pytest.mark.parametrize(
    "url",
    ["", "automations.example", "ftp://a.example", "https://me:pw@a.example", "https://a.example?x",
     "http://a.example", "http://10.0.0.5:7070", "https://a.example:x", "https://"],
)  # fmt: skip
def test_a_server_is_a_url_with_tls_or_on_this_machine(machine: Machine, url: str):
    machine.environment["ACTIVITYCTL_SERVER"] = url
    if not url:
        assert machine.load().server is None
        return
    with pytest.raises(UsageError) as caught:
        machine.load()
    assert "pw" not in caught.value.message
    machine.environment["ACTIVITYCTL_SERVER"] = "http://10.0.0.5:7070"
    machine.environment["ACTIVITYCTL_SERVER_INSECURE_HTTP"] = "true"
    assert machine.load().server == "http://10.0.0.5:7070"
