"""Reads what a relay service answers: the id of a task, and how the task goes."""

import re
from collections.abc import Mapping
from typing import Any, Final

from activityctl.domain.chain.hexadecimal import word
from activityctl.domain.chain.hook_outcome import HookError, HookOutcome, OutcomeKind
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.untrusted import parse_storable_json, printable
from activityctl.frozen_dataclass import frozen_dataclass

_TASK_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}")
"""What can stand in a path as it is."""
_SUCCESSFUL: Final = frozenset({"successful"})
_FAILED: Final = frozenset({"failed", "cancelled"})
_LONGEST: Final = 500


@frozen_dataclass
class TaskAnswer:
    """How a task of a relay service goes."""

    status: str
    is_successful: bool
    error: str
    transaction_hash: str | None
    response: Mapping[str, JsonValue]
    """The whole answer, which the executor gets as relayResponse."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is to come."""
        return self.is_successful or self.status in _FAILED or bool(self.error)

    def outcome(self) -> HookOutcome:
        """Return what became of the call."""
        if self.is_successful:
            return HookOutcome(
                OutcomeKind.EXECUTED,
                relay_response=self.response,
                transaction_hash=self.transaction_hash,
            )
        message = f"the relay service says {self.status or 'nothing'}: {self.error or 'no reason'}"
        return HookOutcome(
            OutcomeKind.FAILED,
            HookError.RELAY_FAILED.value,
            message,
            self.response,
            self.transaction_hash,
        )


def read_task_id(content: bytes) -> str:
    """Return the id of the task that a service has begun. Raises ValueError if there is none."""
    found = _data(content).get("taskId")
    if not isinstance(found, str) or not _TASK_ID.fullmatch(found):
        raise ValueError("its answer has no usable taskId")
    return found


def read_task(content: bytes) -> TaskAnswer:
    """Return how the task goes. Raises ValueError if the answer does not say it."""
    task = _data(content)
    metadata = task.get("metadata")
    response = metadata.get("response") if isinstance(metadata, Mapping) else None
    said: Mapping[str, Any] = response if isinstance(response, Mapping) else {}
    status = task.get("status")
    if not isinstance(status, str):
        raise ValueError("its answer has no status")  # noqa: TRY004  # what callers catch
    found = task.get("outputTransactionHash") or said.get("transactionHash")
    error = said.get("error")
    return TaskAnswer(
        status[:_LONGEST],
        status in _SUCCESSFUL or said.get("isSuccessful") is True,
        printable(error)[:_LONGEST] if isinstance(error, str) else "",
        None if found is None else word(found),
        task,
    )


def _data(content: bytes) -> Mapping[str, Any]:
    try:
        value = parse_storable_json(content.decode("utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"its answer is not JSON: {error}") from None
    inner = value.get("data", value) if isinstance(value, Mapping) else None
    if not isinstance(inner, Mapping):
        raise ValueError("its answer is no object")  # noqa: TRY004  # what callers catch
    return inner
