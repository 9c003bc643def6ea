"""A worker that is taken over gets refusals from the signer, and never a signature."""

import asyncio
import contextlib
import json
import os
import stat
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from keyring.backends import fail

from activityctl import wiring
from activityctl.adapters.keystore.key_stores import KeyStores
from activityctl.adapters.keystore.local_signer import LocalSigner
from activityctl.adapters.postgres.rights import Role
from activityctl.adapters.signer.remote_signer import RemoteSigner, SignerPlace
from activityctl.daemon.signer.server import SignerServer, TlsPort
from activityctl.domain.chain.hook_outcome import HookError, failed
from activityctl.domain.chain.keys import KeyKind
from activityctl.domain.runs.signing import SigningRefusedError
from activityctl.errors import (
    ActivityctlError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    UnreachableError,
    UsageError,
)
from activityctl.settings import Secret, Settings, load_settings
from support.logins import url_as
from support.signing import (
    OTHER,
    OWNER,
    POLICY,
    TOKEN,
    Triggers,
    draft,
    execution,
    make_keys,
    signed,
    transfer,
)

SIX = transfer(6)


@dataclass
class Signing:
    """A signer with the rights of its role, a worker with those of its own, and its socket."""

    signer: RemoteSigner
    ports: wiring.Ports
    """Those of the signer."""
    triggers: Triggers
    owner: psycopg.Connection[Any]
    keys: KeyStores
    path: Path

    async def refusal(self, asked: Any) -> str:
        with pytest.raises(SigningRefusedError) as raised:
            await self.ask(asked)
        return f"{raised.value.refusal.error}: {raised.value.message}"

    async def ask(self, asked: Any) -> Any:
        if hasattr(asked, "executable"):
            return await self.signer.sign_execution(asked)
        return await self.signer.sign_transaction(asked)

    def count(self, table: str) -> int:
        row = self.owner.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
        return row[0] if row else -1


@pytest.fixture
async def signing(
    settings: Settings, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Signing]:
    monkeypatch.setattr("keyring.get_keyring", fail.Keyring)
    keys = KeyStores(tmp_path / "home")
    await make_keys(keys)

    def as_role(role: Role) -> Any:
        url = Secret(url_as(database_url, role.value))
        return wiring.open_ports(replace(settings, database_url=url), pool_size=4)

    path = tmp_path / "s.sock"
    async with (
        wiring.open_ports(settings) as applying,
        as_role(Role.SIGNER) as ports,
        SignerServer(LocalSigner(keys, ports.signing)).on_socket(path),
    ):
        with psycopg.connect(database_url, autocommit=True) as owner:
            signer = RemoteSigner(SignerPlace(path))
            yield Signing(signer, ports, Triggers(applying), owner, keys, path)


@pytest.fixture
def certificates(tmp_path: Path) -> tuple[Path, Path]:
    """Make a certificate of localhost; return the paths of its key and of itself."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost", "-newkey", "ec"),
            *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout", str(key)),
            *("-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return key, certificate


async def test_a_call_is_signed_once_and_its_replacement_has_the_same_nonce(signing: Signing):
    await signing.triggers.apply()
    key = await signing.triggers.answered("a", SIX)
    both = await asyncio.gather(*(signing.ask(draft(key, SIX)) for _ in range(4)))
    first = both[0].transaction
    assert {each.transaction.raw for each in both} == {first.raw}
    assert (first.nonce, first.sender) == (0, signing.keys.one("relayer-1").current.public)
    again = await signing.ask(draft(key, SIX, number=2, max_fee_wei=120))
    assert (again.transaction.nonce, again.transaction.hash != first.hash) == (0, True)
    await signing.triggers.ports.hooks.decided(key, failed(HookError.EXPIRED, "late"))
    assert "the trigger has ended" in await signing.refusal(draft(key, SIX))
    assert (signing.count("spends"), signing.count("relay_transactions")) == (1, 2)
    second = await signing.triggers.answered("b", SIX)
    assert (await signing.ask(draft(second, SIX))).transaction.nonce == 1
    found = await signing.signer.addresses(["relayer-1", "executor-1", "x"], KeyKind.RELAYER)
    assert found == {"relayer-1": first.sender}


async def test_forged_drafts_get_refusals_and_never_a_signature(signing: Signing):
    await signing.triggers.apply()
    key = await signing.triggers.answered("a", SIX)
    other_call = transfer(7)
    for fields, reason in (
        ({"to": OTHER}, "not for the plugin"),
        ({"data": b"\1"}, "not the call of the executor's answer"),
        ({"data": draft(key, other_call).data}, "not the call of the executor's answer"),
        ({"data": draft(key, SIX).data + b"\0"}, "not the call of the executor's answer"),
        ({"chain_id": 1}, "the account is on chain 31337"),
        ({"relayer": "relayer-2"}, "does not let the key relayer-2 send"),
        ({"relayer": "executor-1"}, "does not let the key executor-1 send"),
        ({"max_fee_wei": 1001}, "over maxFeePerGas 1000"),
        ({"gas": 500_001}, "gas_cap: the transaction needs 500,001 gas"),
        ({"number": 2}, "there is no transaction to replace"),
        ({"hook_key": "nobody"}, "there is no such trigger"),
    ):
        assert reason in await signing.refusal(draft(**{"key": key, "call": SIX, **fields}))
    # What the policy does not allow is refused whoever has signed it.
    for name, call, reason in (
        ("target", transfer(1, to=OTHER), f"does not have {OTHER} in targets"),
        ("value", replace(SIX, value_wei=1), "value 1 is over the limit 0"),
        ("amount", transfer(11), "over the limit 10 of one execution"),
        ("kind", replace(SIX, call_type=1), "does not have delegatecall"),
        ("cut", replace(SIX, data=SIX.data[:40]), "too short"),
    ):
        refused = await signing.triggers.answered(name, call)
        assert reason in await signing.refusal(draft(refused, call))
    unsigned = await signing.triggers.answered("unsigned", SIX, signature="0x")
    assert "nobody has signed" in await signing.refusal(draft(unsigned, SIX))
    assert "does not let the key executor-1 sign" in await signing.refusal(execution(unsigned, SIX))
    assert (signing.count("spends"), signing.count("relay_transactions")) == (0, 0)


async def test_no_window_is_exceeded_by_many_requests_at_once_or_by_removed_triggers(
    signing: Signing,
):
    await signing.triggers.apply()
    keys = [await signing.triggers.answered(f"t{number}", SIX) for number in range(8)]
    answers = await asyncio.gather(
        *(signing.ask(draft(key, SIX)) for key in keys), return_exceptions=True
    )
    refused = [each for each in answers if isinstance(each, SigningRefusedError)]
    assert len(refused) == 4  # 4 times 6 is in a window of 25
    assert "after 24 in the last 1h" in refused[0].message
    nonces = sorted(each.transaction.nonce for each in answers if each not in refused)
    assert nonces == [0, 1, 2, 3]
    # A worker may remove a trigger, and make it anew under the same key or another one.
    used = next(key for key, each in zip(keys, answers, strict=True) if each not in refused)
    row = signing.owner.execute("SELECT * FROM hooks WHERE key = %s", (used,)).fetchone()
    signing.owner.execute("DELETE FROM hooks WHERE key = %s", (used,))
    assert signing.count("relay_transactions") == 3
    marks = ", ".join(["%s"] * len(row))
    values = [json.dumps(each) if isinstance(each, dict) else each for each in row]
    signing.owner.execute(f"INSERT INTO hooks VALUES ({marks})".encode(), values)
    assert "was signed before, and is gone" in await signing.refusal(draft(used, SIX))
    assert "was signed before, and is gone" in await signing.refusal(draft(used, SIX, number=2))
    signing.owner.execute("UPDATE hooks SET request_id = 'x' WHERE key = %s", (used,))
    assert "under another request id" in await signing.refusal(draft(used, SIX))


async def test_a_stricter_policy_counts_at_once_and_a_laxer_revision_is_of_no_use(
    signing: Signing,
):
    await signing.triggers.apply()
    key = await signing.triggers.answered("a", SIX)
    stricter = {**POLICY, "tokens": {TOKEN: {"maxPerExecution": "5"}}, "window": None}
    await signing.triggers.apply(policy=stricter)
    assert "over the limit 5 of one execution" in await signing.refusal(draft(key, SIX))
    await signing.triggers.apply(account={"policy": {"targets": [OTHER]}})
    assert "the policy of the account does not have" in await signing.refusal(draft(key, SIX))
    await signing.triggers.apply(policy=None)
    assert "has no policy" in await signing.refusal(draft(key, SIX))
    await signing.triggers.apply()
    signing.owner.execute("UPDATE hooks SET answered_at = now() - interval '11 minutes'")
    assert (await signing.refusal(draft(key, SIX))).startswith("expired: ")
    signing.owner.execute("UPDATE hooks SET answered_at = now()")
    # A run that names the revision of another definition belongs to nobody.
    signing.owner.execute(
        "INSERT INTO revisions (id, definition, number, spec, created_at) "
        "SELECT 'lax', 'other', 1, spec, now() FROM revisions LIMIT 1"
    )
    signing.owner.execute("UPDATE runs SET revision_id = 'lax'")
    assert "there is no such trigger" in await signing.refusal(draft(key, SIX))


async def test_autosign_signs_one_call_with_one_nonce(signing: Signing):
    await signing.triggers.apply(autosign="executor-1")
    key = await signing.triggers.answered("a", SIX, signature="0x")
    for fields, reason in (
        ({"plugin": OTHER}, "another chain, plugin, account or executor"),
        ({"account": OTHER}, "another chain, plugin, account or executor"),
        ({"chain_id": 1}, "another chain, plugin, account or executor"),
        ({"executor": OWNER}, "another chain, plugin, account or executor"),
        ({"key": "relayer-1"}, "does not let the key relayer-1 sign"),
    ):
        assert reason in await signing.refusal(execution(key, SIX, 3, **fields))
    assert "is not the one" in await signing.refusal(execution(key, transfer(7), 3))
    assert signing.count("spends") == 0
    given = await signing.ask(execution(key, SIX, 3))
    assert given == signed(SIX, 3)
    assert await signing.ask(execution(key, SIX, 3)) == given
    assert "another call or nonce" in await signing.refusal(execution(key, SIX, 4))
    # The transaction spends nothing again, and has to carry that signature.
    other = draft(key, SIX, signed(SIX, 4))
    assert "not the call of the executor's answer" in await signing.refusal(other)
    await signing.ask(draft(key, SIX, given))
    assert signing.count("spends") == 1
    own = await signing.triggers.answered("own", SIX)
    assert "has signed its call itself" in await signing.refusal(execution(own, SIX, 0))


async def test_a_call_that_a_service_sends_counts_as_well(signing: Signing):
    await signing.triggers.apply(relay={"service": {"url": "https://relay.example"}})
    keys = [await signing.triggers.answered(f"t{number}", SIX) for number in range(5)]
    for key in keys[:4]:
        await signing.signer.count_call(key)
        await signing.signer.count_call(key)
    with pytest.raises(SigningRefusedError, match="after 24 in the last 1h"):
        await signing.signer.count_call(keys[4])
    with pytest.raises(SigningRefusedError, match="no such trigger"):
        await signing.signer.count_call("nobody")
    assert "does not let the key relayer-1 send" in await signing.refusal(draft(keys[0], SIX))


async def test_a_key_that_is_gone_or_foreign_fails_only_its_own_calls(signing: Signing):
    await signing.triggers.apply(autosign="executor-1")
    key = await signing.triggers.answered("a", SIX)
    await signing.keys.remove("relayer-1")
    with pytest.raises(NotFoundError, match="relayer-1"):
        await signing.ask(draft(key, SIX))
    await signing.keys.create("relayer-1", KeyKind.EXECUTOR)
    with pytest.raises(ConflictError, match="of the kind executor"):
        await signing.ask(draft(key, SIX))
    assert signing.count("spends") == 0
    await signing.keys.remove("executor-1")
    unsigned = await signing.triggers.answered("b", SIX, signature="0x")
    with pytest.raises(NotFoundError, match="executor-1"):
        await signing.ask(execution(unsigned, SIX))


async def test_only_this_account_reaches_the_socket_and_nonsense_is_answered(
    signing: Signing, monkeypatch: pytest.MonkeyPatch
):
    mode = signing.path.stat().st_mode
    assert (stat.S_ISSOCK(mode), stat.S_IMODE(mode)) == (True, 0o600)
    for line in (b"\n", b"{}\n", b"[]\n", b'{"method": "keys", "params": {}}\n'):
        reader, writer = await asyncio.open_unix_connection(str(signing.path))
        writer.write(line)
        answer = json.loads(await reader.readline())
        assert answer["error"]["code"] == InvalidInputError.code
        writer.close()
    reader, writer = await asyncio.open_unix_connection(str(signing.path))
    writer.write(b"x" * (2 << 20) + b"\n")
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    monkeypatch.setattr("activityctl.daemon.signer.server.peer_uid", lambda _: os.geteuid() + 1)
    with pytest.raises(UnreachableError, match="does not answer"):
        await signing.signer.addresses([], KeyKind.RELAYER)


async def test_a_worker_cannot_write_what_the_signer_keeps(
    signing: Signing, settings: Settings, database_url: str
):
    await signing.triggers.apply()
    key = await signing.triggers.answered("a", SIX)
    await signing.ask(draft(key, SIX))
    with psycopg.connect(url_as(database_url, Role.WORKER.value), autocommit=True) as worker:
        for statement in (
            "INSERT INTO spends DEFAULT VALUES",
            "UPDATE spends SET amount = 0",
            "DELETE FROM spends",
            "DELETE FROM signed_calls",
            "UPDATE signed_calls SET transaction_hash = NULL",
            "UPDATE relayer_nonces SET next = 0",
            "INSERT INTO relay_transactions DEFAULT VALUES",
            "UPDATE relay_transactions SET raw = ''",
            "DELETE FROM relay_transactions",
            "UPDATE subscriptions SET account = NULL",
            "UPDATE revisions SET spec = '{}'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                worker.execute(statement.encode())
    # The ports of a worker can do what a relayer has to.
    url = Secret(url_as(database_url, Role.WORKER.value))
    async with wiring.open_ports(replace(settings, database_url=url)) as ports:
        (kept,) = await ports.relays.transactions(key)
        await ports.relays.move(key, 1, type(kept.state)("sent"), kept.signed_at)
        with pytest.raises(ActivityctlError, match=r"permission denied|may not"):
            await LocalSigner(signing.keys, ports.signing).sign_transaction(draft(key, SIX))


async def test_a_signer_on_another_machine_is_reached_with_its_certificate_and_a_token(
    signing: Signing, certificates: tuple[Path, Path], tmp_path: Path
):
    key, certificate = certificates
    good, wrong, short = "t" * 32, "w" * 32, "short"
    for name in (good, wrong, short):
        (tmp_path / name).write_text(f"{name}\n")
        (tmp_path / name).chmod(0o600)

    def client(token: str, port: int, **fields: Any) -> Any:
        given = {
            "signer_address": f"localhost:{port}",
            "signer_certificate": str(certificate),
            "signer_token_ref": f"file:{tmp_path / token}",
        }
        return wiring.open_signer(load_settings({**given, **fields, "home": tmp_path}, {}))

    server = SignerServer(LocalSigner(signing.keys, signing.ports.signing))
    context = wiring.server_context(str(certificate), str(key), datetime.now(UTC))
    async with server.on_port(TlsPort("127.0.0.1", 0, good, context)) as port:
        await signing.triggers.apply()
        hook = await signing.triggers.answered("a", SIX)
        assert (await client(good, port).sign_transaction(draft(hook, SIX))).transaction.nonce == 0
        with pytest.raises(ActivityctlError, match="token of the signer is wrong"):
            await client(wrong, port).addresses([], KeyKind.RELAYER)
        with pytest.raises(UsageError, match="less than 32 characters"):
            await client(short, port).addresses([], KeyKind.RELAYER)
        with pytest.raises(UnreachableError, match="does not answer"):
            await client(good, port, signer_certificate=None).addresses([], KeyKind.RELAYER)
        # Without TLS nothing is understood.
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b'{"method": "addresses", "params": {}}\n')
        with contextlib.suppress(ConnectionResetError):
            assert b"result" not in await reader.read()
        writer.close()
