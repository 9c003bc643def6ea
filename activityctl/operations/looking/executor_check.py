"""Checks an executor's service by the requests that activityctl would send to it."""

import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from activityctl.domain.chain.account import Account, subscription_object
from activityctl.domain.chain.conformance import NOT_FOUND, OK, Check, hearing, refusal
from activityctl.domain.chain.hook_outcome import HookError, HookOutcome, OutcomeKind, failed
from activityctl.domain.chain.hook_payloads import (
    EXECUTED_PATH,
    TRIGGER_PATH,
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
    read_log,
    read_response,
)
from activityctl.domain.chain.hook_signatures import SignatureProfile, hmac_hex, webhook_headers
from activityctl.domain.values.masking import Mask
from activityctl.domain.values.untrusted import printable
from activityctl.errors import TaskError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import HookAnswer, HookSender

_ANY_STATUS: Final = range(200, 600)
_WRONG_KEY: Final = 64 * "0"
_NO_TASK: Final = "the trigger was not answered, so this was not tried"


@frozen_dataclass
class ExecutorService:
    """The service, and what its requests say."""

    url: str
    key: str
    account: Account
    executor: str
    registry_id: str
    metadata: Mapping[str, Any]
    profile: SignatureProfile
    verify_payload: bool
    seconds: float


class ExecutorCheck:
    """One run; its request ids are new, and marked as those of a test."""

    def __init__(self, sender: HookSender, tested: ExecutorService) -> None:
        self._sender = sender
        self._tested = tested
        self._mask = Mask()
        self._mask.add(tested.key)
        self._at = datetime.now(UTC)

    async def checks(self) -> AsyncIterator[Check]:
        """Yield each check when it is done."""
        payload = self._trigger("test")
        first, check = await self._judged("trigger", payload)
        yield check
        if first is None:
            for name in ("repeated trigger", "bad signature", "executed"):
                yield Check(name, "skipped", _NO_TASK)
            return
        again, check = await self._judged("repeated trigger", payload)
        if check.verdict == "passed":
            check = _repeated(check, first, again)
        yield check
        yield await self._refused(
            "bad signature", TRIGGER_PATH, self._trigger("forged"), _WRONG_KEY
        )
        yield await self._refused("missing signature", TRIGGER_PATH, self._trigger("bare"), None)
        key = payload["requestID"]
        done = HookOutcome(OutcomeKind.EXECUTED, relay_response=_response())
        yield await self._told("executed, successful", executed_payload(key, done))
        refused = failed(HookError.RELAYER_MISSING, "a conformance run of activityctl")
        told = await self._told("executed, failed", executed_payload(key, refused))
        yield told
        if told.status != NOT_FOUND:
            yield await self._refused(
                "executed, bad signature", EXECUTED_PATH, executed_payload(key, done), _WRONG_KEY
            )

    async def _judged(
        self, name: str, payload: Mapping[str, Any]
    ) -> tuple[HookAnswer | None, Check]:
        started = time.monotonic()
        try:
            answer = await self._post(TRIGGER_PATH, payload, self._tested.key)
        except TaskError as error:
            hint = f"check that it serves POST {self._tested.url}{TRIGGER_PATH}"
            return None, Check(name, "failed", error.message, hint)
        facts = (answer.status, _since(started))
        if answer.status != OK:
            hint = "answer 200 with skip, requestID, task and signature"
            message = f"answered {answer.status}: {_quoted(answer)}"
            return None, Check(name, "failed", message, hint, *facts)
        try:
            task = read_response(answer.content, answer.headers, self._expected(payload))
        except BadResponseError as error:
            message = self._mask.text(printable(f"{error.error}: {error}"))
            hint = "see: activityctl guide builder-kit"
            return answer, Check(name, "failed", message, hint, *facts)
        said = "skips" if task is None else f"wants a call to {task.executable.to}"
        return answer, Check(name, "passed", said, None, *facts)

    async def _refused(
        self, name: str, path: str, payload: Mapping[str, Any], key: str | None
    ) -> Check:
        started = time.monotonic()
        try:
            answer = await self._post(path, payload, key)
        except TaskError as error:
            return Check(name, "failed", error.message)
        verdict, message, hint = refusal(answer.status, f"a {name.removeprefix('executed, ')}")
        return Check(name, verdict, message, hint, answer.status, _since(started))

    async def _told(self, name: str, payload: Mapping[str, Any]) -> Check:
        started = time.monotonic()
        try:
            answer = await self._post(EXECUTED_PATH, payload, self._tested.key)
        except TaskError as error:
            return Check(name, "failed", error.message)
        has_log = read_log(answer.content)[0]
        verdict, message, hint = hearing(answer.status, has_log=has_log)
        return Check(name, verdict, message, hint, answer.status, _since(started))

    async def _post(self, path: str, payload: Mapping[str, Any], key: str | None) -> HookAnswer:
        tested = self._tested
        given = payload["requestID"]
        has_field = tested.profile.has_field and key is not None
        text = payload_text(payload, hmac_hex(key, given) if has_field and key else "")
        headers = {"Idempotency-Key": given}
        if tested.profile.has_headers and key is not None:
            seconds = int(datetime.now(UTC).timestamp())
            headers |= webhook_headers([key], given, seconds, text.encode())
        return await self._sender.post(
            tested.url + path,
            text,
            headers,
            accepted=_ANY_STATUS,
            seconds=tested.seconds,
            mask=self._mask,
        )

    def _trigger(self, name: str) -> dict[str, Any]:
        key = request_id(f"{name}-{uuid.uuid4()}", self._at)
        subscription = subscription_object(
            self._tested.account,
            key=str(uuid.uuid4()),
            registry_id=self._tested.registry_id,
            created_at=self._at,
            is_cancelled=False,
            params=self._tested.metadata,
        )
        trigger = trigger_object("interval", self._at, None)
        executor = self._tested.executor
        return trigger_payload(key, HookContext(), subscription, executor, trigger)

    def _expected(self, payload: Mapping[str, Any]) -> ExpectedResponse:
        tested = self._tested
        return ExpectedResponse(
            payload["requestID"],
            tested.account.sub_account_address,
            tested.executor,
            [tested.key] if tested.verify_payload else None,
            tested.profile,
            int(datetime.now(UTC).timestamp()),
        )


def _repeated(check: Check, first: HookAnswer, again: HookAnswer | None) -> Check:
    if again is not None and _decision(first) == _decision(again):
        return replace(check, message="the same answer to the same request id")
    hint = "keep your answer by its requestID: after a crash we ask again with the same one"
    return replace(
        check, verdict="warning", message="another answer to the same request id", hint=hint
    )


def _decision(answer: HookAnswer) -> tuple[Any, Any]:
    value = json.loads(answer.content)
    task = value.get("task") or {}
    return value.get("skip"), task.get("executable")


def _response() -> dict[str, Any]:
    return {
        **empty_relay_response(),
        "outputTransactionHash": "0x" + 64 * "0",
        "status": "success",
    }


def _quoted(answer: HookAnswer) -> str:
    return printable(answer.content[:200].decode("utf-8", "replace"))


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
