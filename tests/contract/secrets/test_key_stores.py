"""Keys are kept as secrets are, apart from them, and come out only for their kind."""

import json
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from eth_account import Account
from keyring.backends import fail

from activityctl.adapters.keystore.key_stores import KeyStores
from activityctl.adapters.keystore.keystore_v3 import read_keystore
from activityctl.adapters.keystore.secret_stores import SecretPlaces, SecretStores
from activityctl.domain.chain.keys import KeyKind
from activityctl.errors import (
    ActivityctlError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    UnreachableError,
)
from support.key_store import TeamKeyring

PRIVATE = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


class Clock:
    now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(params=["file", "keyring"])
def keys(request: pytest.FixtureRequest, tmp_path: Path, key_store: TeamKeyring) -> KeyStores:
    key_store.chosen = key_store if request.param == "keyring" else fail.Keyring()
    return KeyStores(tmp_path / "home", now=Clock())


async def test_a_key_is_made_read_rotated_and_removed(keys: KeyStores, tmp_path: Path):
    heard: list[str] = []
    made = await keys.create("hook", KeyKind.HMAC)
    other = KeyStores(tmp_path / "home", on_read=heard.append, now=Clock())
    assert await other.read("hook", KeyKind.HMAC) == made
    assert len(made.current.secret) == 64
    after = await keys.rotate("hook", None, timedelta(hours=1))
    held = await other.read("hook", KeyKind.HMAC)
    assert held == after
    assert [each.secret for each in held.valid(Clock.now)] == [
        after.current.secret,
        made.current.secret,
    ]
    assert {made.current.secret, after.current.secret} <= set(heard)
    (listed,) = other.known()
    assert [each.number for each in listed.versions] == [2, 1]
    await other.remove("hook", 1)
    assert len((await keys.read("hook", KeyKind.HMAC)).versions) == 1
    with pytest.raises(ConflictError, match="the current one"):
        await keys.remove("hook", 2)
    with pytest.raises(NotFoundError):
        await keys.remove("hook", 7)
    await keys.remove("hook")
    assert keys.known() == []
    with pytest.raises(NotFoundError):
        await keys.read("hook", KeyKind.HMAC)


async def test_an_account_is_known_by_its_address_and_has_one_name(keys: KeyStores):
    await keys.create("relayer", KeyKind.RELAYER, f"0x{PRIVATE}\n")
    assert keys.one("relayer").current.public == ADDRESS
    with pytest.raises(ConflictError, match="key relayer is this key already"):
        await keys.create("again", KeyKind.EXECUTOR, PRIVATE)
    with pytest.raises(ConflictError, match="exists already"):
        await keys.create("relayer", KeyKind.HMAC)
    with pytest.raises(ConflictError, match="of the kind relayer, but hmac is needed"):
        await keys.read("relayer", KeyKind.HMAC)


@pytest.mark.parametrize("text", ["", "0x00", "0" * 64, "f" * 64, PRIVATE + "00"])
async def test_what_is_no_key_is_refused_and_not_quoted(keys: KeyStores, text: str):
    with pytest.raises(InvalidInputError) as raised:
        await keys.create("a", KeyKind.EXECUTOR, text)
    assert not text or text not in str(raised.value)
    with pytest.raises(InvalidInputError):
        await keys.create("Not A Name", KeyKind.HMAC)
    assert keys.known() == []


async def test_no_file_has_a_key_and_no_secret_finds_one(keys: KeyStores, tmp_path: Path):
    home = tmp_path / "home"
    await keys.create("signer", KeyKind.EXECUTOR, PRIVATE)
    folder = home / "keys"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert PRIVATE.encode() not in path.read_bytes()
    secrets = SecretStores(SecretPlaces(home))
    with pytest.raises(NotFoundError):
        await secrets.read("signer")
    await secrets.set("signer", "a-secret-of-tasks")
    assert (await keys.read("signer", KeyKind.EXECUTOR)).current.secret == PRIVATE


async def test_the_kind_and_the_end_of_a_version_are_kept_with_the_secret(
    keys: KeyStores, tmp_path: Path
):
    await keys.create("hook", KeyKind.HMAC)
    await keys.rotate("hook", None, timedelta(0))
    names = tmp_path / "home" / "keys" / "names.json"
    content = json.loads(names.read_text())
    content["hook"]["kind"] = "relayer"
    for version in content["hook"]["versions"]:
        version["valid_until"] = None
    names.write_text(json.dumps(content))
    held = await keys.read("hook", KeyKind.HMAC)
    assert len(held.valid(Clock.now)) == 1
    with pytest.raises(ConflictError):
        await keys.read("hook", KeyKind.RELAYER)


@pytest.mark.parametrize("keys", ["keyring"], indirect=True)
async def test_a_locked_key_store_and_damaged_values_are_said(
    keys: KeyStores, key_store: TeamKeyring
):
    await keys.create("hook", KeyKind.HMAC)
    for entry in key_store.entries:
        key_store.entries[entry] = '{"kind": "hmac", "versions": []}'
    with pytest.raises(InvalidInputError, match="damaged"):
        await keys.read("hook", KeyKind.HMAC)
    key_store.is_locked = True
    with pytest.raises(UnreachableError):
        await keys.read("hook", KeyKind.HMAC)


def test_a_keystore_file_is_opened_by_its_password_and_has_a_limit(tmp_path: Path):
    path = tmp_path / "key.json"
    # iterations: the least work, so that the test is quick
    content = Account.encrypt(PRIVATE, "right horse", kdf="scrypt", iterations=2)
    path.write_text(json.dumps(content))
    assert read_keystore(str(path), "right horse") == PRIVATE
    with pytest.raises(InvalidInputError, match="password does not open"):
        read_keystore(str(path), "wrong horse")
    crypto = content["crypto"]
    dear = {**crypto, "kdfparams": {**crypto["kdfparams"], "n": 2**30}}
    for change, reason in (
        ({**content, "version": 1}, "not a keystore file"),
        ({"version": 3, "crypto": {}}, "not a keystore file"),
        ([], "not a keystore file"),
        (
            {**content, "crypto": dear},
            "1 GiB",
        ),
    ):
        path.write_text(json.dumps(change))
        with pytest.raises(ActivityctlError, match=reason):
            read_keystore(str(path), "right horse")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_keystore(str(tmp_path / "nothing.json"), "x")


def test_opening_a_keystore_file_leaves_the_limit_of_recursion(tmp_path: Path):
    """A library below eth-account raises it, and deeply nested JSON then ends Python."""
    good, deep = tmp_path / "good.json", tmp_path / "deep.json"
    good.write_text(json.dumps(Account.encrypt(PRIVATE, "right horse", kdf="scrypt", iterations=2)))
    deep.write_text("[" * 60_000)
    program = (
        "import sys; from activityctl.adapters.keystore.keystore_v3 import read_keystore as read;"
        "before = sys.getrecursionlimit();"
        "print(read(sys.argv[1], 'right horse'), sys.getrecursionlimit() - before);"
        "read(sys.argv[2], 'right horse')"
    )
    words = [sys.executable, "-c", program, str(good), str(deep)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == f"{PRIVATE} 0"
    assert "is not a keystore file of version 3" in done.stderr, done.returncode
