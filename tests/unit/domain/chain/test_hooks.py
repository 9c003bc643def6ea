"""Hooks have every field of the text, and a response is believed only when it is signed."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from activityctl.domain.chain.account import Account, subscription_object
from activityctl.domain.chain.hook_outcome import (
    HookError,
    HookOutcome,
    OutcomeKind,
    failed,
    outcome_of,
)
from activityctl.domain.chain.hook_payloads import (
    HookContext,
    empty_relay_response,
    executed_payload,
    payload_text,
    request_id,
    trigger_object,
    trigger_payload,
)
from activityctl.domain.chain.hook_response import (
    BadResponseError,
    ExpectedResponse,
    read_again,
    read_log,
    read_response,
)
from activityctl.domain.chain.hook_signatures import (
    SignatureProfile,
    hmac_hex,
    is_signed,
    webhook_headers,
    webhook_problem,
    webhook_signature,
)

KEY = "ed2cff7120f726311a0eb048c2d3af3ef3a411cc93bcf82883bc8988638dcae7"
REQUEST = "b4acb4ff-3b5d-4f90-b434-747d388e305a-2024-10-22T08:09:30Z"
EXECUTOR = "0xd1f745f0d14918a2c1e31153f2492891e4526ea4"
ACCOUNT = "0x8a17fe295bf517fbc148f565e5d6a2fe4f930cba"
WETH = "0x4200000000000000000000000000000000000006"
AT = datetime(2024, 10, 22, 8, 9, 30, 276713, tzinfo=UTC)
# The subscription of the text.
SUBSCRIPTION = {
    "chainId": 8453,
    "commitHash": "0xae0205e59170df2e64e1fb3ffbe65d83538aeae38e5e63d9b306dc2dd5862828",
    "createdAt": "2024-10-18T03:48:13.496342Z",
    "duration": 30,
    "feeAmount": "0",
    "feeToken": "0xaf88d065e77c8cc2239327c5edb3a432268e5831",
    "id": "49366ccf-1980-4288-86b1-7ffcfd889d35",
    "metadata": {"baseToken": WETH, "every": "30"},
    "registryId": "1fcc089a-9faf-40e9-9ec8-3e34d2f4614f",
    "status": 2,
    "subAccountAddress": ACCOUNT,
    "tokenInputs": {WETH: "800000000000000", "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913": "0"},
    "tokenLimits": {WETH: "0.0008", "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913": "0"},
}


def test_the_hmac_of_the_text_is_by_the_characters_of_the_key():
    # What Node's crypto.createHmac('sha256', hmacKey) gives for the key and the id of the text.
    wanted = "1fc4ee202a5b8f1722a564f753ceb92140b67fb604b477fad4adba0e04f7766a"
    assert hmac_hex(KEY, REQUEST) == wanted
    assert is_signed(["0" * 64, KEY], REQUEST, wanted)
    for other in ("", wanted[:-1], wanted.upper(), hmac_hex(KEY, REQUEST + ":"), "é"):
        assert not is_signed([KEY], REQUEST, other)


def test_standard_webhooks_sign_id_time_and_body_with_each_key():
    headers = webhook_headers([KEY, "other"], "msg_1", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-id"] == "msg_1"
    assert len(headers["webhook-signature"].split(" ")) == 2
    given = (headers, [KEY], "msg_1", 1614265330)
    assert webhook_problem(*given, b'{"test": 2432232314}') is None
    assert webhook_problem(headers, ["other"], "msg_1", 1614265630, b'{"test": 2432232314}') is None
    assert "does not sign" in str(webhook_problem(*given, b'{"test": 1}'))
    assert "request id" in str(webhook_problem(headers, [KEY], "msg_2", 1614265330, b""))
    assert "within 300 s" in str(webhook_problem(headers, [KEY], "msg_1", 1614265631, b""))
    assert "request id" in str(webhook_problem({}, [KEY], "msg_1", 1614265330, b""))


def test_the_published_vector_of_standard_webhooks():
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = webhook_signature(
        key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}'
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_whole_subscription_of_the_text_comes_from_an_account():
    account = Account.model_validate(
        {
            name: SUBSCRIPTION[name]
            for name in SUBSCRIPTION
            if name not in {"createdAt", "id", "registryId", "status"}
        }
    )
    facts = {
        "key": SUBSCRIPTION["id"],
        "registry_id": SUBSCRIPTION["registryId"],
        "created_at": datetime(2024, 10, 18, 3, 48, 13, 496342, tzinfo=UTC),
    }
    made = subscription_object(account, **facts, is_cancelled=False, params={})
    assert made == SUBSCRIPTION
    assert list(made) == list(SUBSCRIPTION)
    bare = Account.model_validate({"chainId": 1, "subAccountAddress": ACCOUNT})
    made = subscription_object(bare, **facts, is_cancelled=True, params={"every": "30"})
    assert (made["metadata"], made["status"], made["tokenLimits"]) == ({"every": "30"}, 4, {})


@pytest.mark.parametrize(
    "change",
    [
        {"chainId": 0},
        {"chainId": "8453"},
        {"subAccountAddress": "0x0"},
        {"subAccountAddress": "0x8A17fe295bf517fbc148f565e5d6a2fe4f930cba"},
        {"commitHash": "0x00"},
        {"feeAmount": "0.5"},
        {"tokenInputs": {WETH: "1.5"}},
        {"tokenLimits": {WETH: "-1"}},
        {"tokenLimits": {"WETH": "1"}},
        {"status": 2},
    ],
    ids=str,
)
def test_a_wrong_account_is_refused(change: dict[str, Any]):
    with pytest.raises(ValueError):  # noqa: PT011  # pydantic's words
        Account.model_validate({"chainId": 1, "subAccountAddress": ACCOUNT, **change})


def test_a_trigger_has_the_fields_of_the_text_in_its_order():
    context = HookContext(11931, datetime(2024, 10, 22, 8, 9, 30, 395874, tzinfo=UTC), "before")
    trigger = trigger_object("interval", AT, None)
    payload = trigger_payload(REQUEST, context, SUBSCRIPTION, EXECUTOR, trigger)
    assert payload == {
        "context": {
            "executionCount": 11931,
            "prevExecutionAt": "2024-10-22T08:09:30.395874Z",
            "prevExecutionID": "before",
        },
        "params": {
            "executorAddress": EXECUTOR,
            "subAccountAddress": ACCOUNT,
            "executorID": "1fcc089a-9faf-40e9-9ec8-3e34d2f4614f",
            "chainID": 8453,
            "subscription": SUBSCRIPTION,
        },
        "requestID": REQUEST,
        "signature": "",
        "trigger": {"type": "INTERVAL", "data": "2024-10-22T08:09:30.276713Z"},
    }
    text = payload_text(payload, "abc")
    assert list(json.loads(text)) == ["context", "params", "requestID", "signature", "trigger"]
    assert json.loads(text)["signature"] == "abc"
    assert HookContext().as_json() == {
        "executionCount": 0,
        "prevExecutionAt": "0001-01-01T00:00:00Z",
        "prevExecutionID": "",
    }
    assert request_id("b4acb4ff-3b5d-4f90-b434-747d388e305a", AT) == REQUEST


def test_triggers_have_the_names_of_the_text_or_ours():
    log = {"address": WETH, "topics": []}
    event = {"id": "1", "type": "chain.log", "data": log}
    assert trigger_object("chain", AT, event) == {"type": "FILTER", "data": log}
    assert trigger_object("event", AT, event) == {"type": "EVENT", "data": event}
    assert trigger_object("cron", AT, None)["type"] == "CRON"
    assert trigger_object(None, AT, None)["type"] == "MANUAL"


def test_an_executed_hook_has_the_fields_of_the_text():
    refused = failed(HookError.RELAYER_MISSING, "no relayer")
    payload = executed_payload(REQUEST, refused)
    assert list(payload) == [
        "requestID",
        "successful",
        "error",
        "executionRequestID",
        "relayResponse",
        "signature",
    ]
    assert payload["error"] == {"type": "relayer_missing", "message": "no relayer"}
    assert payload["successful"] is False
    assert payload["relayResponse"] == empty_relay_response()
    assert list(empty_relay_response()) == [
        "taskId",
        "metadata",
        "outputTransactionHash",
        "status",
        "createdAt",
    ]
    response = {**empty_relay_response(), "outputTransactionHash": "0x1"}
    done = HookOutcome(OutcomeKind.EXECUTED, relay_response=response, transaction_hash="0x1")
    payload = executed_payload(REQUEST, done)
    assert (payload["successful"], payload["error"]) == (True, {"type": "", "message": ""})
    assert payload["relayResponse"] == response
    for outcome in (refused, done):
        assert outcome_of(json.loads(json.dumps(outcome.as_json()))) == outcome


def expected(**changes: Any) -> ExpectedResponse:
    facts = {
        "request_id": REQUEST,
        "account": ACCOUNT,
        "executor": EXECUTOR,
        "keys": [KEY],
        "profile": SignatureProfile.BUILDER_KIT,
        "now_seconds": 1_000,
    }
    return ExpectedResponse(**{**facts, **changes})


def answer(*, task: Any = None, skip: Any = True, **changes: Any) -> bytes:
    given = task.get("executorSignature") if isinstance(task, dict) and not skip else None
    signature = hmac_hex(KEY, f"{REQUEST}:{given or '0x'}")
    fields = {"skip": skip, "requestID": REQUEST, "task": task, "signature": signature, **changes}
    return json.dumps({k: v for k, v in fields.items() if v != "left out"}).encode()


TASK = {
    "subaccount": ACCOUNT,
    "executor": EXECUTOR.upper().replace("0X", "0x"),
    "executorSignature": "0x1234",
    "executable": {"callType": 0, "to": WETH, "value": "1", "data": "0x"},
}


def test_a_skip_and_a_task_are_read():
    assert read_response(answer(), {}, expected()) is None
    content = answer(task=TASK, skip=False)
    read = read_response(content, {}, expected())
    assert read is not None
    assert (read.executable.to, read.executor_signature) == (WETH, "0x1234")
    assert read_again(content) == read
    assert read_response(answer(signature="left out"), {}, expected(keys=None)) is None


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", HookError.BAD_RESPONSE),
        (b"[]", HookError.BAD_RESPONSE),
        (b"\xff", HookError.BAD_RESPONSE),
        (answer(requestID="other"), HookError.SIGNATURE_INVALID),
        (answer(requestID="left out"), HookError.SIGNATURE_INVALID),
        (answer(skip="true"), HookError.BAD_RESPONSE),
        (answer(skip="left out"), HookError.BAD_RESPONSE),
        (answer(signature="left out"), HookError.SIGNATURE_INVALID),
        (answer(signature=""), HookError.SIGNATURE_INVALID),
        (answer(signature=None), HookError.SIGNATURE_INVALID),
        (answer(signature=hmac_hex(KEY, REQUEST)), HookError.SIGNATURE_INVALID),
        (answer(signature=hmac_hex("0" * 64, f"{REQUEST}:0x")), HookError.SIGNATURE_INVALID),
        (answer(task=TASK), HookError.SKIP_WITH_TASK),
        (answer(skip=False), HookError.BAD_RESPONSE),
        (answer(task=[], skip=False), HookError.BAD_RESPONSE),
        (answer(task={**TASK, "executorSignature": 1}, skip=False), HookError.BAD_RESPONSE),
        (answer(task={**TASK, "subaccount": WETH}, skip=False), HookError.ACCOUNT_MISMATCH),
        (answer(task={**TASK, "subaccount": "me"}, skip=False), HookError.BAD_RESPONSE),
        (answer(task={**TASK, "executor": WETH}, skip=False), HookError.EXECUTOR_MISMATCH),
        (answer(task={**TASK, "executable": None}, skip=False), HookError.BAD_EXECUTABLE),
    ],
)
def test_every_other_response_is_refused(content: bytes, error: HookError):
    with pytest.raises(BadResponseError) as raised:
        read_response(content, {}, expected())
    assert raised.value.error is error


def test_a_signature_is_of_the_executors_signature_and_of_each_valid_key():
    content = answer(task={**TASK, "executorSignature": "0x5678"}, skip=False)
    flipped = content.replace(b"0x5678", b"0x5679")
    with pytest.raises(BadResponseError) as raised:
        read_response(flipped, {}, expected())
    assert raised.value.error is HookError.SIGNATURE_INVALID
    assert read_response(content, {}, expected(keys=["0" * 64, KEY])) is not None


def test_standard_webhooks_cover_the_whole_response():
    content = answer(task=TASK, skip=False, signature="")
    headers = webhook_headers([KEY], REQUEST, 1_000, content)
    strict = expected(profile=SignatureProfile.STANDARD_WEBHOOKS)
    assert read_response(content, headers, strict) is not None
    for other in ({}, {**headers, "webhook-signature": "v1,AAAA"}, {**headers, "webhook-id": "x"}):
        with pytest.raises(BadResponseError):
            read_response(content, other, strict)
    changed = content.replace(b'"value": "1"', b'"value": "2"')
    with pytest.raises(BadResponseError):
        read_response(changed, headers, strict)
    # with both, the headers are checked only if the response has them
    both = expected(profile=SignatureProfile.BOTH)
    signed = answer(task=TASK, skip=False)
    assert read_response(signed, {}, both) is not None
    with pytest.raises(BadResponseError):
        read_response(signed, headers, both)


def test_the_log_of_the_executed_hook_is_any_json():
    assert read_log(b'{"log": null}') == (True, None)
    assert read_log(b'{"log": [1, {"a": 2}]}') == (True, [1, {"a": 2}])
    for content in (b"", b" ", b"ok", b"{}", b"[]"):
        assert read_log(content) == (False, None)
