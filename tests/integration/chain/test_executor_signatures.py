"""A call is relayed only with its executor's own signature, for the nonce of the chain."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_hash.auto import keccak
from keyring.backends import fail

from activityctl.adapters.chain.nodes import open_nodes
from activityctl.adapters.keystore.key_stores import KeyStores
from activityctl.adapters.keystore.local_signer import private_key_of
from activityctl.domain.chain.executable import (
    ExecutionContext,
    FieldSet,
    execution_digest,
    read_executable,
    sign_executable,
)
from activityctl.domain.chain.hook_response import ExecutableTask
from activityctl.domain.chain.keys import KeyKind
from activityctl.domain.chain.signatures import ORDER
from activityctl.errors import NotFoundError, TaskError
from activityctl.executors.executor_signatures import (
    ExecutorSignatures,
    HookParams,
    SignatureRefusedError,
)
from activityctl.executors.webhook_body import WebhookBody
from activityctl.ports import ChainNodes, ExecutionDraft
from support.anvil import Anvil

KEY = keccak(b"executor")
EXECUTOR = Account.from_key(KEY).address
OWNER, TARGET, OTHER = (Account.from_key(keccak(name)).address for name in (b"o", b"t", b"x"))
CALL = read_executable({"callType": 0, "to": TARGET, "value": "0", "data": "0xd0e30db0"})
FIRST_SLOT = "600054"  # the word at place 0 of the storage
RETURN_WORD = "60005260206000f3"
NONCE_CONTRACT = f"{FIRST_SLOT}{RETURN_WORD}"
"""Answers every call with the word in its storage, as a plugin with this nonce does."""
WALLET = f"600435{FIRST_SLOT}14631626ba7e60e01b02{RETURN_WORD}"
"""Says of one digest, which is in its storage, that every signature of it is its own."""


@dataclass
class OneChain:
    """The nodes of the local chain; no other chain is known."""

    known: ChainNodes

    async def nodes(self, chain_id: int) -> ChainNodes:
        if chain_id != self.known.chain_id:
            raise NotFoundError("secret", f"chain-{chain_id}")
        return self.known


@dataclass
class Signing:
    """A signer without a policy."""

    keys: KeyStores

    async def sign_execution(self, draft: ExecutionDraft) -> str:
        held = await self.keys.read(draft.key, KeyKind.EXECUTOR)
        key = private_key_of(held, draft.context.executor)
        return sign_executable(draft.executable, draft.context, key)


@dataclass
class Bench:
    """A plugin on the chain, and what checks signatures for it."""

    chain: Anvil
    plugin: str
    signatures: ExecutorSignatures
    keys: KeyStores

    def store(self, contract: str, word: int) -> None:
        self.chain.call("anvil_setStorageAt", contract, hex(0), f"0x{word:064x}")

    def context(self, nonce: int = 7, field_set: FieldSet = FieldSet.SDK_12) -> ExecutionContext:
        chain_id = self.chain.chain_id
        return ExecutionContext(field_set, chain_id, self.plugin, OWNER, EXECUTOR, nonce)

    async def check(self, signature: str, call: Any = CALL, **fields: Any) -> str:
        body = WebhookBody.model_validate(
            {
                "baseURL": "https://executor.example",
                "registryID": "r",
                "executorAddress": EXECUTOR,
                "hmacKey": "k",
                "plugin": self.plugin,
                **{name: value for name, value in fields.items() if name != "executor"},
            }
        )
        params = HookParams("hook", self.chain.chain_id, OWNER, fields.get("executor", EXECUTOR))
        return await self.signatures.checked(body, params, ExecutableTask(call, signature))

    async def refusal(self, *args: Any, **fields: Any) -> tuple[str, str]:
        with pytest.raises(SignatureRefusedError) as raised:
            await self.check(*args, **fields)
        return raised.value.error.value, str(raised.value)


@pytest.fixture
async def bench(
    chain: Anvil, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    monkeypatch.setattr("keyring.get_keyring", fail.Keyring)
    keys = KeyStores(tmp_path / "home")
    async with open_nodes(chain.chain_id, [chain.url]) as nodes:
        made = Bench(
            chain,
            chain.deploy(NONCE_CONTRACT),
            ExecutorSignatures(OneChain(nodes), Signing(keys)),
            keys,
        )
        made.store(made.plugin, 7)
        yield made


@pytest.mark.parametrize("field_set", FieldSet)
async def test_only_the_executors_own_signature_of_this_call_and_nonce_is_taken(
    bench: Bench, field_set: FieldSet
):
    fields = {"fields": field_set.value}
    good = sign_executable(CALL, bench.context(7, field_set), KEY)
    assert await bench.check(good, **fields) == good
    other_call = read_executable({**CALL.as_json(), "value": "1"})
    flipped = good[:40] + ("0" if good[40] != "0" else "1") + good[41:]
    s = ORDER - int(good[66:130], 16)
    high_s = f"{good[:66]}{s:064x}{'1c' if good[130:] == '1b' else '1b'}"
    other_set = next(each for each in FieldSet if each is not field_set)
    foreign = sign_executable(CALL, bench.context(7, field_set), keccak(b"foreign"))
    context = bench.context(7, field_set)
    for signature in (
        "",
        "0x",
        "0x" + 130 * "1",
        good + "00",
        good[:-2],
        flipped,
        high_s,
        foreign,
        sign_executable(other_call, context, KEY),
        sign_executable(CALL, replace(context, nonce=6), KEY),  # replayed
        sign_executable(CALL, replace(context, chain_id=1), KEY),
        sign_executable(CALL, replace(context, plugin=OTHER), KEY),
        sign_executable(CALL, replace(context, account=OTHER), KEY),
        sign_executable(CALL, replace(context, executor=OTHER), KEY),
        sign_executable(CALL, replace(context, field_set=other_set), KEY),
    ):
        error, message = await bench.refusal(signature, **fields)
        assert error == "signature_invalid", signature
        assert message.startswith("the executor's signature is not valid: ") or not signature
    bench.store(bench.plugin, 8)  # the call was made: the same signature is a replay
    assert (await bench.refusal(good, **fields))[0] == "signature_invalid"


async def test_a_signature_for_a_later_nonce_waits_for_the_chain(bench: Bench):
    early = sign_executable(CALL, bench.context(9), KEY)
    with pytest.raises(TaskError, match="signed with the nonce 9, and the chain is at 7") as raised:
        await bench.check(early)
    assert (raised.value.task_code, raised.value.may_retry) == ("nonce_ahead", True)
    bench.store(bench.plugin, 9)
    assert await bench.check(early) == early
    assert (await bench.refusal(sign_executable(CALL, bench.context(40), KEY)))[0] == (
        "signature_invalid"
    )


async def test_an_executor_that_is_a_contract_is_asked(bench: Bench):
    wallet = bench.chain.deploy(WALLET)
    context = replace(bench.context(), executor=wallet)
    bench.store(wallet, int.from_bytes(execution_digest(CALL, context)))
    for signature in ("0x1234", "0x" + 130 * "1", "0x" + 400 * "2"):
        assert await bench.check(signature, executor=wallet) == signature
    bench.store(wallet, 1)
    assert (await bench.refusal("0x1234", executor=wallet))[0] == "signature_invalid"
    reverting = bench.chain.deploy("60006000fd")
    assert (await bench.refusal("0x1234", executor=reverting))[0] == "signature_invalid"
    # An address without code answers nothing, and that is no yes.
    assert (await bench.refusal("0x1234", executor=OTHER))[0] == "signature_invalid"


async def test_autosign_signs_with_the_executors_key_and_with_no_other(bench: Bench):
    error, message = await bench.refusal("0x", autosign="signer")
    assert error == "key_missing"
    assert "signer" in message
    await bench.keys.create("signer", KeyKind.EXECUTOR, keccak(b"foreign").hex())
    error, message = await bench.refusal("", autosign="signer")
    assert (error, f"not {EXECUTOR}" in message) == ("key_missing", True)
    await bench.keys.create("right", KeyKind.EXECUTOR, KEY.hex())
    signed = await bench.check("0x", autosign="right")
    assert signed == sign_executable(CALL, bench.context(), KEY)
    # A signature that is given has to be the executor's, also with autosign.
    error, _ = await bench.refusal("0x" + 130 * "1", autosign="right")
    assert error == "signature_invalid"
    await bench.keys.create("relayer", KeyKind.RELAYER, keccak(b"relayer").hex())
    assert (await bench.refusal("0x", autosign="relayer"))[0] == "key_missing"


@pytest.mark.parametrize(
    ("code", "reason"),
    [("00", "has no executorNonce"), ("60006000fd", "gave no executorNonce"), (None, "has no")],
)
async def test_what_is_no_plugin_relays_nothing(bench: Bench, code: str | None, reason: str):
    plugin = OTHER if code is None else bench.chain.deploy(code)
    error, message = await bench.refusal("0x" + 130 * "1", plugin=plugin)
    assert (error, reason in message) == ("plugin_unusable", True)


async def test_nodes_that_are_unknown_or_silent_are_no_answer(bench: Bench):
    good = sign_executable(CALL, bench.context(), KEY)
    checked: Callable[..., Any] = bench.signatures.checked
    body = WebhookBody.model_validate(
        {
            "baseURL": "https://executor.example",
            "registryID": "r",
            "executorAddress": EXECUTOR,
            "hmacKey": "k",
            "plugin": bench.plugin,
        }
    )
    with pytest.raises(TaskError, match="secrets set chain-5") as raised:
        await checked(body, HookParams("hook", 5, OWNER, EXECUTOR), ExecutableTask(CALL, good))
    assert (raised.value.task_code, raised.value.may_retry) == ("chain_missing", False)
    async with open_nodes(31337, ["http://127.0.0.1:9"]) as nodes:
        lonely = ExecutorSignatures(OneChain(nodes), Signing(bench.keys))
        params = HookParams("hook", 31337, OWNER, EXECUTOR)
        with pytest.raises(TaskError) as raised:
            await lonely.checked(body, params, ExecutableTask(CALL, good))
        assert (raised.value.task_code, raised.value.may_retry) == ("chain_unavailable", True)
    bare = body.model_copy(update={"plugin": None})
    with pytest.raises(SignatureRefusedError, match="has no plugin"):
        await checked(bare, HookParams("hook", 31337, OWNER, EXECUTOR), ExecutableTask(CALL, good))
