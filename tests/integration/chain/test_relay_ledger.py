"""Nonces and signed transactions in Postgres: gapless, written before they are sent, once."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from keyring.backends import fail

from activityctl import wiring
from activityctl.adapters.keystore.key_stores import KeyStores
from activityctl.domain.chain.keys import KeyKind
from activityctl.domain.chain.relaying import RelayState
from activityctl.errors import NotFoundError
from support.relaying import draft, triggers
from support.unchecked_signer import AssigningLedger, UncheckedSigner

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
async def keys(tmp_path, monkeypatch) -> KeyStores:
    monkeypatch.setattr("keyring.get_keyring", fail.Keyring)
    made = KeyStores(tmp_path / "home")
    await made.create("relayer-1", KeyKind.RELAYER)
    await made.create("executor-1", KeyKind.EXECUTOR)
    return made


async def test_nonces_have_no_gap_and_a_trigger_is_signed_once(ports: wiring.Ports, keys):
    names = [f"hook-{number}" for number in range(20)]
    await triggers(ports, *names)
    signer = UncheckedSigner(keys, AssigningLedger(ports))
    # Two workers at once hold each trigger; the chain says 5 before anything is known.
    both = [draft(name, chain_nonce=5) for name in names * 2]
    signed = await asyncio.gather(*map(signer.sign_transaction, both))
    first = {each.transaction.hook_key: each.transaction for each in signed[:20]}
    assert sorted(each.nonce for each in first.values()) == list(range(5, 25))
    assert {each.transaction.hook_key: each.transaction for each in signed[20:]} == first
    assert all(each.drift == 0 for each in signed)
    sender = keys.one("relayer-1").current.public
    facts = (await ports.relays.senders([(31337, sender), (1, sender)]))[f"31337/{sender}"]
    assert (facts.next_nonce, facts.open_count, facts.last_hash) == (25, 20, None)
    # After a rotation a replacement is still of the former address, with the same nonce.
    await keys.rotate("relayer-1", None, timedelta(0))
    old = min(first.values(), key=lambda each: each.nonce)  # any of the triggers may be first
    again = await signer.sign_transaction(draft(old.hook_key, 2, max_fee_wei=110))
    assert (again.transaction.sender, again.transaction.nonce) == (sender, old.nonce)
    assert again.transaction.hash != old.hash
    below = await ports.relays.open_below(31337, sender, 8)
    assert [each.nonce for each in below] == [5, 6, 7]
    assert again.transaction.hash in {each.hash for each in below}
    # What has ended does not change again; a reorganisation takes a block away.
    await ports.relays.move(old.hook_key, 2, RelayState.SENT, AT)
    await ports.relays.move(old.hook_key, 2, RelayState.INCLUDED, AT, (9, "0xaa"))
    await ports.relays.move(old.hook_key, 2, RelayState.SENT, AT)
    assert (await ports.relays.transactions(old.hook_key))[1].block_number is None
    await ports.relays.move(old.hook_key, 2, RelayState.CONFIRMED, AT, (9, "0xbb"))
    await ports.relays.move(old.hook_key, 2, RelayState.SENT, AT)
    ended = (await ports.relays.transactions(old.hook_key))[1]
    assert (ended.state, ended.block_hash) == (RelayState.CONFIRMED, "0xbb")
    await keys.remove("relayer-1")
    with pytest.raises(NotFoundError):
        await signer.sign_transaction(draft(names[1], 2))


async def test_nonces_follow_the_chain_if_another_program_used_the_key_or_the_chain_is_new(
    ports: wiring.Ports, keys
):
    await triggers(ports, "a", "b", "c", "d")
    signer = UncheckedSigner(keys, AssigningLedger(ports))
    await signer.sign_transaction(draft("a", chain_nonce=3))
    drifted = await signer.sign_transaction(draft("b", chain_nonce=9))
    assert (drifted.transaction.nonce, drifted.drift) == (9, 5)
    # Something is open, so a chain that seems new changes nothing.
    behind = await signer.sign_transaction(draft("c", chain_nonce=0, is_chain_new=True))
    assert (behind.transaction.nonce, behind.drift) == (10, 0)
    for name in "abc":
        await ports.relays.move(name, 1, RelayState.CONFIRMED, AT, (1, "0xaa"))
    anew = await signer.sign_transaction(draft("d", chain_nonce=0, is_chain_new=True))
    assert (anew.transaction.nonce, anew.drift) == (0, -11)
