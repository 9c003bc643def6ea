"""RetryPolicy: which failed attempts of a task are repeated, how often, and how long to wait."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from hashlib import sha256
from typing import Any, Final

from pydantic import Field, ValidationInfo, model_validator

from activityctl.domain.tasks.failure import Failure, FailureClass
from activityctl.domain.values.duration import Duration, LimitDuration
from activityctl.domain.values.model import JsonValue, Manifest, is_written

DEFAULT_ATTEMPTS: Final = 3
"""The attempts of a task that has a policy, or that is safe to repeat."""
_IDEMPOTENT_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""RFC 9110, section 9.2.2: a repeat has the same effect as one request."""
_NEVER_REPEATED: Final = frozenset(
    {
        "bad_input",
        "destination_forbidden",
        "internal",
        "not_allowed",
        "secret_forbidden",
        "unknown_kind",
        "worker_lost",
    }
)
"""Codes of failures that no policy makes repeatable: the same attempt would fail in the same way,
or should not be made."""


def _is_safe_call(body: JsonValue) -> bool:
    method = body.get("method", "GET") if isinstance(body, Mapping) else None
    return isinstance(method, str) and method.upper() in _IDEMPOTENT_METHODS


SAFE_KINDS: Final[Mapping[str, Callable[[JsonValue], bool]]] = {
    "http": _is_safe_call,
    "emit": lambda _: True,
    "ai": lambda _: True,
    "python": lambda body: isinstance(body, Mapping) and body.get("relay") is not None,
    "webhook": lambda _: True,
}
"""The kinds of tasks that may be safe to repeat, each with the test of its rendered body.

An event of `emit` has the same id in each attempt, so it is stored once. A question to a model
changes nothing. A `webhook`, and a `python` with `relay`, go on where they were, with the same
request id.
"""


class RetryPolicy(Manifest):
    """Which failed attempts are repeated, how often, and how long to wait between attempts."""

    max_attempts: int | None = Field(
        default=None,
        ge=1,
        le=1_000,
        description="The maximum number of attempts, the first included. Default: "
        f"{DEFAULT_ATTEMPTS} with any other field of `retry`, and for tasks that are safe to "
        "repeat (`ai`, `emit`, `webhook`, `python` with `relay`, and `http` with GET, HEAD, "
        "OPTIONS, PUT or DELETE); otherwise 1.",
        examples=[5],
    )
    initial_interval: Duration = Field(
        default=timedelta(seconds=1),
        description="The wait after the first failed attempt. Default: 1s.",
        examples=["10s"],
    )
    backoff: float = Field(
        default=2.0,
        ge=1,
        le=100,
        description="The factor by which the wait grows after each further attempt. Default: 2.",
        examples=[2],
    )
    max_interval: Duration = Field(
        default=timedelta(minutes=5),
        description="The longest wait between two attempts, also when a server asks for a longer "
        "one with `Retry-After`. Default: 5m.",
        examples=["5m"],
    )
    jitter: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="By which part of itself a wait is made shorter or longer, so that tasks that "
        "failed together are not tried again together. Default: 0.2, that is 20 percent.",
        examples=[0.5],
    )
    max_age: LimitDuration | None = Field(
        default=None,
        description="No further attempt begins when so much time has passed since the task was "
        "ready to start. Default: no limit.",
        examples=["1h"],
    )
    non_retryable: FailureClass | None = Field(
        default=None,
        description="Failures that are final here, although they are repeated by default. It wins "
        "over `retryable`.",
        examples=[{"status": [501], "code": ["timeout"]}],
    )
    retryable: FailureClass | None = Field(
        default=None,
        description="Failures that are repeated here, although they are final by default, such as "
        "a 404 of something that is not there yet.",
        examples=[{"status": [404, 409]}],
    )

    @model_validator(mode="before")
    @classmethod
    def _write_out_attempts(cls, value: Any, info: ValidationInfo) -> Any:
        """Store the default number with a policy: stored policies without one have one attempt."""
        if is_written(info) and isinstance(value, Mapping) and value:
            return {"maxAttempts": DEFAULT_ATTEMPTS, **value}
        return value

    @property
    def attempts(self) -> int:
        """The maximum number of attempts of what has one by default, such as a context source."""
        return self.max_attempts or 1

    def attempts_of(self, kind: str, body: JsonValue) -> int:
        """Return the maximum number of attempts of a task with this rendered body.

        Earlier versions had one attempt by default, which was not stored.
        """
        if self.max_attempts is not None:
            return self.max_attempts
        if self != RetryPolicy():
            return 1
        is_safe = SAFE_KINDS.get(kind)
        return DEFAULT_ATTEMPTS if is_safe is not None and is_safe(body) else 1

    def repeats(self, failure: Failure) -> bool:
        """Return whether another attempt may follow; the number of attempts is not looked at.

        Raise ExpressionError if an expression of the policy fails.
        """
        if failure.code in _NEVER_REPEATED and not failure.may_retry:
            return False
        is_repeated = failure.may_retry
        if not is_repeated and self.retryable is not None:
            is_repeated = self.retryable.has(failure)
        if is_repeated and self.non_retryable is not None:
            is_repeated = not self.non_retryable.has(failure)
        return is_repeated

    def wait_after(
        self, attempt: int, asked: timedelta = timedelta(0), chance: float = 0.5
    ) -> timedelta:
        """Return the wait after a failed attempt, in whole milliseconds; attempts count from 1.

        `asked` is the wait that a server has asked for: at least that long, up to `maxInterval`.
        `chance` is a number from 0 to 1 that places the wait in the range of the jitter.
        """
        exponent = min(attempt - 1, 100)
        seconds = min(self.initial_interval.total_seconds() * self.backoff**exponent, 1e9)
        most = self.max_interval.total_seconds()
        middle = min(max(seconds, asked.total_seconds()), most)
        low = max(middle * (1 - self.jitter), min(asked.total_seconds(), most))
        high = min(middle * (1 + self.jitter), most)
        return timedelta(milliseconds=round(1000 * (low + (high - low) * chance)))


def chance_of(task_id: str, attempt: int) -> float:
    """Return the place of a wait in the range of its jitter: the same for the same attempt."""
    digest = sha256(f"{task_id}/{attempt}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
