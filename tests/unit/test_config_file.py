"""The config file: what is written can be read again, and invalid input changes nothing."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activityctl.config_file import (
    add_profile,
    profile_in,
    profiles_of,
    read_config,
    remove_profile,
    to_toml,
    use_profile,
)
from activityctl.errors import ConflictError, InvalidInputError, NotFoundError
from activityctl.secret import masked_url
from activityctl.setting_sources import setting_sources

PROD = {"database_url": "postgresql://u:p@h/d", "allowed_networks": ["10.0.0.0/8"], "max_tasks": 5}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
PLAIN = TEXT | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False)
VALUES = PLAIN | st.lists(PLAIN, max_size=3)
DOCUMENTS = st.dictionaries(
    TEXT, st.recursive(VALUES, lambda inner: st.dictionaries(TEXT, inner, max_size=3)), max_size=4
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "config.toml"


@given(DOCUMENTS)
def test_a_written_document_is_read_back_equal(document: dict[str, Any]):
    assert tomllib.loads(to_toml(document)) == document


@pytest.mark.parametrize("text", ["at = 2026-01-01", "[[profiles.a.list]]\nx = 1"])
def test_a_file_that_cannot_be_written_back_is_not_changed(path: Path, text: str):
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(InvalidInputError, match="cannot be written back") as caught:
        add_profile(path, "b", PROD, replace=False)
    assert caught.value.hint == "edit the file by hand"
    assert path.read_text("utf-8") == text
    assert list(path.parent.iterdir()) == [path]


def test_no_profile_becomes_the_default_by_itself(path: Path):
    assert not add_profile(path, "prod", PROD, replace=False)
    assert not add_profile(path, "stage", {"max_tasks": 1}, replace=False)
    assert read_config(path) == {
        "profiles": {"prod": PROD, "stage": {"max_tasks": 1}},
    }


def test_only_the_owner_can_read_the_file(path: Path):
    add_profile(path, "prod", PROD, replace=False)
    path.chmod(0o644)
    use_profile(path, "prod")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_a_link_to_the_file_stays_a_link(path: Path, tmp_path: Path):
    path.parent.mkdir()
    path.symlink_to(tmp_path / "real.toml")
    add_profile(path, "prod", PROD, replace=False)
    assert path.is_symlink()
    assert set(profiles_of(read_config(tmp_path / "real.toml"))) == {"prod"}


def test_a_profile_is_replaced_only_on_request(path: Path):
    add_profile(path, "prod", PROD, replace=False)
    with pytest.raises(ConflictError, match="already exists"):
        add_profile(path, "prod", {"max_tasks": 1}, replace=False)
    assert profile_in(read_config(path), path, "prod") == PROD
    add_profile(path, "prod", {"max_tasks": 1}, replace=True)
    assert profile_in(read_config(path), path, "prod") == {"max_tasks": 1}


def test_other_settings_of_the_file_are_kept(path: Path):
    path.parent.mkdir()
    path.write_text("[other]\nx = 1\n[profiles.a]\nmax_tasks = 1\n")
    add_profile(path, "b", PROD, replace=False)
    use_profile(path, "b")
    remove_profile(path, "a")
    assert read_config(path) == {"default": "b", "other": {"x": 1}, "profiles": {"b": PROD}}


def test_removing_the_default_leaves_no_default(path: Path):
    add_profile(path, "a", PROD, replace=False)
    add_profile(path, "b", PROD, replace=False)
    use_profile(path, "a")
    assert not remove_profile(path, "b")
    assert remove_profile(path, "a")
    assert read_config(path) == {"profiles": {}}


def test_unknown_profiles_are_not_found(path: Path):
    add_profile(path, "prod", PROD, replace=False)
    before = path.read_bytes()
    for change in (use_profile, remove_profile):
        with pytest.raises(NotFoundError, match='profile "nope" not found'):
            change(path, "nope")
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["", "a b", "a.b", 'a"', "é"])
def test_a_profile_name_that_needs_quotes_is_refused(path: Path, name: str):
    with pytest.raises(InvalidInputError, match="invalid name of a profile"):
        add_profile(path, name, PROD, replace=False)
    assert not path.exists()


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInputError, match="cannot be written"):
        add_profile(tmp_path / "file" / "config.toml", "a", PROD, replace=False)


# ---- sources of settings


def test_every_setting_has_a_source(path: Path, tmp_path: Path):
    add_profile(path, "prod", PROD, replace=False)
    use_profile(path, "prod")
    environment = {
        "ACTIVITYCTL_CONFIG": str(path),
        "ACTIVITYCTL_HOME": str(tmp_path),
        "ACTIVITYCTL_MAX_TASKS": "7",
        "TEMPORAL_ADDRESS": "t:1",
    }
    sources = setting_sources({}, environment)
    assert {source.name: (source.value, source.source) for source in sources} == {
        "home": (str(tmp_path), "environment ACTIVITYCTL_HOME"),
        "database_url": ("postgresql://u:***@h/d", "profile prod"),
        "allowed_networks": (["10.0.0.0/8"], "profile prod"),
        "max_tasks": (7, "environment ACTIVITYCTL_MAX_TASKS"),
        "temporal_address": ("t:1", "environment TEMPORAL_ADDRESS"),
        "temporal_namespace": ("default", "default"),
        "database_password_ref": (None, "default"),
        "temporal_api_key_ref": (None, "default"),
        "temporal_payload_key_ref": (None, "default"),
        "temporal_former_payload_key_ref": (None, "default"),
        "log_format": ("text", "default"),
        "temporal_ui": (None, "default"),
        "api_url": (None, "default"),
        "api_certificate": (None, "default"),
        "api_private_key": (None, "default"),
        "trusted_proxies": ([], "default"),
        "allow_commands": (False, "default"),
        "allow_http": (False, "default"),
        "allowed_folders": ([], "default"),
        "allowed_variables": ([], "default"),
        "event_retention": ("30d", "default"),
        "retention": ("", "default"),
        "secrets_store": ("auto", "default"),
        "secrets_folder": (None, "default"),
        "secrets_key_file": (None, "default"),
        "secrets_hosts": (None, "default"),
        "issuers_file": (None, "default"),
        "signer_address": (None, "default"),
        "signer_certificate": (None, "default"),
        "signer_token_ref": (None, "default"),
        "server": (None, "default"),
        "token_ref": (None, "default"),
        "server_certificate": (None, "default"),
        "server_insecure_http": (False, "default"),
    }
    flagged = setting_sources({"home": tmp_path, "profile": None}, environment)
    assert flagged[0].source == "flag --home"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://user:hunter2@host:5/db", "postgresql://user:***@host:5/db"),
        ("postgresql://user:hun@t/e:r2@host/db", "postgresql://user:***@host/db"),
        ("postgresql://:hunter2@host/db", "postgresql://:***@host/db"),
        (
            "postgresql://host/db?user=u&password=hunter2&x=1",
            "postgresql://host/db?user=u&password=***&x=1",
        ),
        ("postgresql://host/db?sslpassword=hunter2", "postgresql://host/db?sslpassword=***"),
        ("postgresql://user@host/db", "postgresql://user@host/db"),
        ("postgresql:///db?host=/run/postgres", "postgresql:///db?host=/run/postgres"),
        ("host=x password=hunter2", "***"),
    ],
)
def test_passwords_are_masked(url: str, shown: str):
    assert masked_url(url) == shown
