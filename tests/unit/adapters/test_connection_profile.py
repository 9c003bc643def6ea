"""How address and API key of Temporal follow from the settings and temporal.toml."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from activityctl.adapters.temporal.client import connection_profile, is_clear_text
from activityctl.errors import NotAllowedError
from activityctl.secret import Secret
from activityctl.settings import Settings
from activityctl.wiring import unprotected_connections

KEY = Secret("ours")


def settings(folder: Path, **variables: str) -> Settings:
    more: dict[str, Any] = {"temporal_address": "ours:7233", "uses_local_daemon": False}
    environment = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), **variables}
    return Settings(folder, temporal_environment=environment, **more)


def test_the_api_key_that_the_settings_refer_to_is_sent_to_their_address(tmp_path: Path):
    profile = connection_profile(settings(tmp_path), KEY)
    assert (profile.address, profile.api_key) == ("ours:7233", "ours")


def test_temporals_own_variable_takes_precedence_over_it(tmp_path: Path):
    assert (
        connection_profile(settings(tmp_path, TEMPORAL_API_KEY="theirs"), KEY).api_key == "theirs"
    )


def test_it_replaces_a_key_of_temporal_toml_for_another_address(tmp_path: Path):
    path = tmp_path / "temporal.toml"
    path.write_text('[profile.default]\naddress = "cloud:7233"\napi_key = "cloud"\n')
    here = settings(tmp_path, TEMPORAL_CONFIG_FILE=str(path))
    with pytest.raises(NotAllowedError, match="belongs to cloud:7233, not to ours:7233"):
        connection_profile(here)
    profile = connection_profile(here, KEY)
    assert (profile.address, profile.api_key) == ("ours:7233", "ours")


def test_the_local_daemon_gets_no_key(tmp_path: Path):
    local = Settings(tmp_path, temporal_address="127.0.0.1:1", uses_local_daemon=True)
    assert connection_profile(local, KEY).api_key is None


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ("ours", "theirs", "ours"),
        (None, "theirs", "theirs"),
        ("ours", None, "ours"),
        (None, None, "default"),
    ],
)
def test_our_namespace_takes_precedence_over_that_of_temporal_toml(
    tmp_path: Path, ours: str | None, theirs: str | None, expected: str
):
    path = tmp_path / "temporal.toml"
    namespace = f'namespace = "{theirs}"\n' if theirs else ""
    path.write_text(f"[profile.default]\n{namespace}")
    here = settings(tmp_path, TEMPORAL_CONFIG_FILE=str(path))
    if ours:
        here = replace(here, temporal_namespace=ours, temporal_namespace_is_set=True)
    found = connection_profile(here)
    assert found.namespace == expected


@pytest.mark.parametrize("address", ["127.0.0.1:7233", "localhost:7233", "[::1]:7233"])
def test_clear_text_on_this_machine_is_no_problem(tmp_path: Path, address: str):
    here = replace(settings(tmp_path), temporal_address=address)
    assert not is_clear_text(connection_profile(here))


def test_clear_text_over_a_network_is_reported(tmp_path: Path):
    assert is_clear_text(connection_profile(settings(tmp_path)))
    assert not is_clear_text(connection_profile(settings(tmp_path), KEY))
    assert not is_clear_text(connection_profile(settings(tmp_path, TEMPORAL_TLS="true")))
    disabled = settings(tmp_path, TEMPORAL_TLS="false")
    assert is_clear_text(connection_profile(disabled))


async def test_what_is_not_protected_is_named(tmp_path: Path):
    url = Secret("postgresql://app@db.example/a?sslmode=require")
    found = await unprotected_connections(replace(settings(tmp_path), database_url=url))
    assert set(found) == {"postgres", "temporal"}
    url = Secret("postgresql://app@db.example/a")
    safe = replace(settings(tmp_path, TEMPORAL_TLS="true"), database_url=url)
    assert await unprotected_connections(safe) == {}
