"""Each store gives a secret back, changes it at once, and never gives a wrong value."""

import asyncio
import base64
import os
import stat
from multiprocessing import get_context
from pathlib import Path

import pytest
from keyring.backends import fail, null

from activityctl.adapters.keystore import system_keyring
from activityctl.adapters.keystore.own_folder import locked, locked_in_thread
from activityctl.adapters.keystore.secret_stores import SecretPlaces, SecretStores
from activityctl.errors import (
    ActivityctlError,
    ConflictError,
    InvalidInputError,
    NotAllowedError,
    NotFoundError,
    UnreachableError,
)
from activityctl.secret import Secret
from support.key_store import TeamKeyring

VALUE = 'a "secret" value\nwith ä lines'


async def test_a_secret_is_set_read_rotated_and_removed(stores: SecretStores):
    kept = await stores.set("crm-token", f"{VALUE}\n", ("api.example",))
    found = await stores.read("crm-token")
    assert (found.value, found.hosts, found.store) == (VALUE, ("api.example",), kept.store)
    with pytest.raises(ConflictError, match="exists already"):
        await stores.set("crm-token", "another-value")
    await stores.rotate("crm-token", "another-value")
    found = await stores.read("crm-token")
    assert (found.value, found.hosts) == ("another-value", ("api.example",))
    (listed,) = stores.known()
    assert (listed.name, listed.hosts, listed.created_at) == (
        "crm-token",
        ("api.example",),
        kept.created_at,
    )
    assert listed.rotated_at is not None
    await stores.remove("crm-token")
    assert stores.known() == []
    for missing in (stores.read("crm-token"), stores.rotate("crm-token", VALUE)):
        with pytest.raises(NotFoundError):
            await missing


async def test_another_process_sees_a_change_at_once(stores: SecretStores, tmp_path: Path):
    other = SecretStores(SecretPlaces(tmp_path / "home"))
    await stores.set("a", "first-value")
    assert (await other.read("a")).value == "first-value"
    await stores.rotate("a", "second-value")
    assert (await other.read("a")).value == "second-value"


async def test_no_file_of_the_home_has_a_value_and_all_are_private(
    stores: SecretStores, tmp_path: Path
):
    await stores.set("a", "canary-of-the-store")
    await stores.read("a")
    await asyncio.sleep(0.1)
    folder = tmp_path / "home" / "secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        content = path.read_bytes()
        for form in (b"canary-of-the-store", base64.b64encode(b"canary-of-the-store")):
            assert form not in content
    assert stores.known()[0].last_used_at is not None


@pytest.mark.parametrize("value", ["abc", "", "\n\n\n\n\n", "with\x00nul", "x" * 65537])
async def test_what_cannot_be_a_secret_is_refused_without_showing_it(
    stores: SecretStores, value: str
):
    with pytest.raises(InvalidInputError) as caught:
        await stores.set("a", value)
    assert value.strip() in {"", "abc"} or value[:50] not in str(caught.value)
    assert stores.known() == []


@pytest.mark.parametrize("name", ["A", "a_b", "", "a/b", "../a", "a" * 64])
async def test_what_is_no_name_is_refused(stores: SecretStores, name: str):
    with pytest.raises(InvalidInputError, match="is not the name of a secret"):
        await stores.set(name, VALUE)


def in_file(home: Path, key: str | None = None) -> SecretStores:
    return SecretStores(SecretPlaces(home, "file", key_file=key))


async def test_another_key_and_each_changed_byte_are_errors(tmp_path: Path):
    stores = in_file(tmp_path)
    await stores.set("a", VALUE)
    path, key = tmp_path / "secrets" / "values", tmp_path / "secrets" / "key"
    whole, own_key = path.read_bytes(), key.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(InvalidInputError, match="cannot be decrypted with the key"):
            await stores.read("a")
    for length in (0, 1, 50, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidInputError, match="the file was changed"):
            await stores.read("a")
    path.write_bytes(whole)
    for content, reason in (
        (base64.b64encode(os.urandom(32)), "it is the key of another file"),
        (b"short", "is not 32 bytes in base64"),
    ):
        key.write_bytes(content)
        with pytest.raises(InvalidInputError, match=reason):
            await stores.read("a")
        with pytest.raises(InvalidInputError, match=reason):
            await stores.set("b", VALUE)
    key.unlink()
    with pytest.raises(UnreachableError, match="values is missing"):
        await stores.read("a")
    with pytest.raises(UnreachableError, match="is missing"):
        await stores.set("b", VALUE)
    assert not key.exists()
    key.write_bytes(own_key)
    key.chmod(0o600)
    assert (await stores.read("a")).value == VALUE


async def test_the_key_comes_from_a_file_or_a_descriptor(tmp_path: Path):
    key = tmp_path / "given.key"
    key.write_bytes(base64.b64encode(os.urandom(32)))
    key.chmod(0o400)
    await in_file(tmp_path / "h", str(key)).set("a", VALUE)
    assert not (tmp_path / "h" / "secrets" / "key").exists()
    with key.open("rb") as file:
        stores = in_file(tmp_path / "h", f"fd:{file.fileno()}")
        assert (await stores.read("a")).value == (await stores.read("a")).value == VALUE
    with pytest.raises(UnreachableError, match="descriptor 77"):
        await in_file(tmp_path / "h", "fd:77").read("a")
    key.chmod(0o644)
    with pytest.raises(NotAllowedError, match="all users may read"):
        await in_file(tmp_path / "h", str(key)).read("a")


@pytest.mark.parametrize("name", ["values", "key", "names.json"])
async def test_files_that_others_may_read_and_links_are_refused(tmp_path: Path, name: str):
    stores = in_file(tmp_path)
    await stores.set("a", VALUE)
    path = tmp_path / "secrets" / name
    path.chmod(0o640)
    with pytest.raises(NotAllowedError, match="other users may read"):
        await stores.read("a")
    moved = path.rename(tmp_path / "elsewhere")
    moved.chmod(0o600)
    path.symlink_to(moved)
    with pytest.raises(NotAllowedError):
        await stores.read("a")


async def test_a_folder_that_others_may_open_is_refused(tmp_path: Path):
    stores = in_file(tmp_path)
    await stores.set("a", VALUE)
    (tmp_path / "secrets").chmod(0o755)
    with pytest.raises(NotAllowedError, match="other users may open"):
        await stores.read("a")


def write_some(home: Path, prefix: str) -> None:
    for number in range(5):
        asyncio.run(in_file(home).set(f"{prefix}-{number}", f"value-of-{prefix}-{number}"))


async def test_two_writers_lose_nothing(tmp_path: Path):
    context = get_context("spawn")
    writers = [context.Process(target=write_some, args=(tmp_path, name)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        await asyncio.to_thread(writer.join, 60)
    stores = in_file(tmp_path)
    assert len(stores.known()) == 10
    for secret in stores.known():
        assert (await stores.read(secret.name)).value == f"value-of-{secret.name}"


async def test_a_lock_that_is_held_is_an_error_in_time(tmp_path: Path):
    folder = tmp_path / "secrets"
    async with locked(folder):
        with pytest.raises(ConflictError, match="another process is changing"):
            async with locked(folder, seconds=0.2):
                pass
        with (
            pytest.raises(ConflictError, match="another process is changing"),
            locked_in_thread(folder, seconds=0.2),
        ):
            pass


async def test_who_waits_for_the_lock_lets_others_go_on(tmp_path: Path):
    """Also who holds it: both are in one process, as two requests to the API are."""
    held = asyncio.Event()

    async def hold() -> None:
        async with locked(tmp_path / "secrets"):
            held.set()
            await asyncio.sleep(0.2)

    holding = asyncio.create_task(hold())
    await held.wait()
    await in_file(tmp_path).set("crm-token", "a-value")
    assert holding.done()


@pytest.mark.parametrize("backend", [fail.Keyring(), null.Keyring()])
async def test_without_a_key_store_the_default_is_the_encrypted_file(
    tmp_path: Path, key_store: TeamKeyring, backend: object
):
    key_store.chosen = backend  # type: ignore[assignment]
    stores = SecretStores(SecretPlaces(tmp_path))
    assert (await stores.set("a", VALUE)).store == "file"
    with pytest.raises(UnreachableError, match="this system has no key store"):
        await stores.set("b", VALUE, store="keyring")


async def test_a_locked_silent_or_forgetful_key_store_is_an_error_that_names_it(
    tmp_path: Path, key_store: TeamKeyring, monkeypatch: pytest.MonkeyPatch
):
    stores = SecretStores(SecretPlaces(tmp_path))
    await stores.set("a", VALUE)
    assert stores.known()[0].place == "support.key_store.TeamKeyring"
    key_store.is_forgetful = True
    with pytest.raises(UnreachableError, match="TeamKeyring has not kept"):
        await stores.set("b", VALUE)
    key_store.is_locked = True
    for call in (stores.read("a"), stores.set("b", VALUE), stores.remove("a")):
        with pytest.raises(UnreachableError, match="KeyringLocked") as caught:
            await call
        assert caught.value.exit_code == 7
    key_store.is_locked, key_store.seconds = False, 0.5
    monkeypatch.setattr(system_keyring, "ANSWER_SECONDS", 0.1)
    with pytest.raises(UnreachableError, match="did not answer"):
        await stores.read("a")
    assert [secret.name for secret in stores.known()] == ["a"]


async def test_a_key_store_of_plain_text_is_refused(tmp_path: Path, key_store: TeamKeyring):
    plain = type("PlaintextKeyring", (TeamKeyring,), {"__module__": "keyrings.alt.file"})()
    key_store.chosen = plain
    with pytest.raises(UnreachableError, match="stores secrets as plain text"):
        await SecretStores(SecretPlaces(tmp_path)).set("a", VALUE)
    assert plain.entries == {}


async def test_a_mounted_folder_as_kubernetes_makes_it(tmp_path: Path):
    version = tmp_path / "mount" / "..2026"
    version.mkdir(parents=True)
    (version / "crm-token").write_text(f"{VALUE}\n")
    (version / "crm-token.hosts").write_text("api.example\n*.crm.example")
    (tmp_path / "mount" / "..data").symlink_to(version)
    for name in ("crm-token", "crm-token.hosts"):
        (tmp_path / "mount" / name).symlink_to(Path("..data") / name)
    stores = SecretStores(SecretPlaces(tmp_path / "h", folder=tmp_path / "mount"))
    found = await stores.read("crm-token")
    assert (found.value, found.hosts) == (VALUE, ("api.example", "*.crm.example"))
    assert [secret.name for secret in stores.known()] == ["crm-token"]
    (version / "crm-token").write_text("changed-value")
    assert (await stores.read("crm-token")).value == "changed-value"
    with pytest.raises(ConflictError, match="comes from"):
        await stores.rotate("crm-token", VALUE)
    (version / "crm-token").write_bytes(b"\xff\xfe")
    with pytest.raises(UnreachableError, match="it is not valid UTF-8"):
        await stores.read("crm-token")
    with pytest.raises(NotFoundError):
        await stores.read("..2026")


async def test_a_variable_and_references(tmp_path: Path, key_store: TeamKeyring):
    file = tmp_path / "db"
    file.write_text("value-of-the-file\n")
    key_store.entries["team", "db"] = "value-of-the-entry"
    given = {"from-env": Secret("value-of-the-variable")}
    places = SecretPlaces(tmp_path / "h", variables=given, hosts={"from-env": ("a.example",)})
    stores = SecretStores(places)
    await stores.refer("of-file", f"file:{file}", ("b.example",))
    await stores.refer("of-entry", "keyring:team/db", ())
    for name, value, hosts in (
        ("from-env", "value-of-the-variable", ("a.example",)),
        ("of-file", "value-of-the-file", ("b.example",)),
        ("of-entry", "value-of-the-entry", ()),
    ):
        found = await stores.read(name)
        assert (found.value, found.hosts) == (value, hosts)
    file.write_text("changed-value\n")
    assert (await stores.read("of-file")).value == "changed-value"
    for call in (
        stores.rotate("of-file", VALUE),
        stores.set("from-env", VALUE),
        stores.remove("from-env"),
    ):
        with pytest.raises(ConflictError):
            await call
    for reference in ("file:relative", "vault:x", "env:HOME", f"file:{tmp_path}/absent"):
        with pytest.raises(ActivityctlError):
            await stores.refer("more", reference, ())
    assert [secret.name for secret in stores.known()] == ["from-env", "of-entry", "of-file"]


async def test_every_value_that_is_read_is_told_for_the_log(tmp_path: Path):
    told: list[str] = []
    stores = SecretStores(SecretPlaces(tmp_path, "file"), on_read=told.append)
    await stores.set("a", VALUE)
    await stores.read("a")
    assert told == [VALUE]
