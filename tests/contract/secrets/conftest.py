"""The stores of secrets of one home, with a key store of the tests or without any."""

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail

from activityctl.adapters.keystore.secret_stores import SecretPlaces, SecretStores
from support.key_store import TeamKeyring


@pytest.fixture
def key_store(monkeypatch: pytest.MonkeyPatch) -> TeamKeyring:
    made = TeamKeyring()
    monkeypatch.setattr(keyring, "get_keyring", lambda: made.chosen)
    return made


@pytest.fixture(params=["file", "keyring"])
def stores(request: pytest.FixtureRequest, tmp_path, key_store: TeamKeyring) -> SecretStores:
    nothing: KeyringBackend = fail.Keyring()
    key_store.chosen = key_store if request.param == "keyring" else nothing
    return SecretStores(SecretPlaces(tmp_path / "home"))
