"""Reads the response of a trigger: who signed it, whether it skips, and what should be executed."""

from collections.abc import Mapping, Sequence
from typing import Any

from activityctl.domain.chain.executable import Executable, read_executable
from activityctl.domain.chain.hexadecimal import checksum_address
from activityctl.domain.chain.hook_outcome import HookError
from activityctl.domain.chain.hook_signatures import (
    SignatureProfile,
    has_webhook_headers,
    is_signed,
    response_text,
    webhook_problem,
)
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.untrusted import parse_storable_json
from activityctl.frozen_dataclass import frozen_dataclass


class BadResponseError(Exception):
    """A response that is refused, with its type of error."""

    def __init__(self, error: HookError, message: str) -> None:
        super().__init__(message)
        self.error = error


@frozen_dataclass
class ExpectedResponse:
    """What the response to one trigger must fit."""

    request_id: str
    account: str
    executor: str
    keys: Sequence[str] | None
    """The valid HMAC keys; None if responses are not verified."""
    profile: SignatureProfile
    now_seconds: int


@frozen_dataclass
class ExecutableTask:
    """The task of a response that does not skip."""

    executable: Executable
    executor_signature: str


def read_response(
    content: bytes, headers: Mapping[str, str], expected: ExpectedResponse
) -> ExecutableTask | None:
    """Return what should be executed; None if the executor skips.

    Raises BadResponseError. The signature is checked before anything else is believed.
    """
    value = _object(content)
    if value.get("requestID") != expected.request_id:
        raise BadResponseError(
            HookError.SIGNATURE_INVALID,
            f"the response is for the request {str(value.get('requestID'))[:120]!r}, not for "
            f"{expected.request_id}",
        )
    skips, task = value.get("skip"), value.get("task")
    if not isinstance(skips, bool):
        raise _bad("skip should be true or false")
    if task is not None and not isinstance(task, Mapping):
        raise _bad("task should be an object or null")
    given = None if task is None else task.get("executorSignature")
    if given is not None and not isinstance(given, str):
        raise _bad("task.executorSignature should be a text")
    _require_signed(value, content, headers, expected, None if skips else given)
    if skips:
        if task is not None:
            raise BadResponseError(
                HookError.SKIP_WITH_TASK, "the response skips, but it has a task; nothing is done"
            )
        return None
    if task is None:
        raise _bad("task is missing, although the response does not skip")
    return _task(task, given or "", expected)


def read_again(content: bytes) -> ExecutableTask:
    """Return the task of a response that was accepted before, and kept."""
    task = _object(content)["task"]
    return ExecutableTask(read_executable(task["executable"]), task.get("executorSignature") or "")


def read_log(content: bytes) -> tuple[bool, JsonValue]:
    """Return whether the response of the executed hook has a `log`, and which."""
    if not content.strip():
        return False, None
    try:
        value = parse_storable_json(content.decode("utf-8-sig"))
    except ValueError:
        return False, None
    return (True, value["log"]) if isinstance(value, Mapping) and "log" in value else (False, None)


def _object(content: bytes) -> Mapping[str, Any]:
    try:
        value = parse_storable_json(content.decode("utf-8-sig"))
    except ValueError as error:
        raise _bad(f"it is not JSON: {error}") from None
    if not isinstance(value, Mapping):
        raise _bad("it should be an object")
    return value


def _require_signed(
    value: Mapping[str, Any],
    content: bytes,
    headers: Mapping[str, str],
    expected: ExpectedResponse,
    executor_signature: str | None,
) -> None:
    if expected.keys is None:
        return
    if expected.profile.has_field:
        signature = value.get("signature")
        text = response_text(expected.request_id, executor_signature)
        if not isinstance(signature, str) or not is_signed(expected.keys, text, signature):
            reason = "is missing" if not signature else "does not fit"
            raise BadResponseError(
                HookError.SIGNATURE_INVALID,
                f"the signature of the response {reason}: verifyPayload needs the HMAC of "
                "requestID:executorSignature, or of requestID:0x to skip",
            )
    needs_headers = not expected.profile.has_field
    if needs_headers or (expected.profile.has_headers and has_webhook_headers(headers)):
        problem = webhook_problem(
            headers, expected.keys, expected.request_id, expected.now_seconds, content
        )
        if problem is not None:
            raise BadResponseError(HookError.SIGNATURE_INVALID, f"the response: {problem}")


def _task(
    task: Mapping[str, Any], executor_signature: str, expected: ExpectedResponse
) -> ExecutableTask:
    for field, wanted, error in (
        ("subaccount", expected.account, HookError.ACCOUNT_MISMATCH),
        ("executor", expected.executor, HookError.EXECUTOR_MISMATCH),
    ):
        given = task.get(field)
        try:
            is_same = checksum_address(str(given)) == checksum_address(wanted)
        except ValueError as problem:
            raise _bad(f"task.{field}: {problem}") from None
        if not is_same:
            raise BadResponseError(error, f"task.{field} is {given}, not {wanted}")
    try:
        return ExecutableTask(read_executable(task.get("executable")), executor_signature)
    except ValueError as problem:
        raise BadResponseError(HookError.BAD_EXECUTABLE, f"task.{problem}") from None


def _bad(reason: str) -> BadResponseError:
    return BadResponseError(HookError.BAD_RESPONSE, f"the response is not valid: {reason}")
