"""The verdict of a conformance run: what an executor's service did right and wrong."""

from typing import Final, Literal

from activityctl.domain.values.model import JsonValue
from activityctl.frozen_dataclass import frozen_dataclass

Verdict = Literal["passed", "warning", "failed", "skipped"]
OK: Final = 200
NOT_FOUND: Final = 404
_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500


@frozen_dataclass
class Check:
    """One request of the run, and what is to be said of its answer."""

    name: str
    verdict: Verdict
    message: str
    hint: str | None = None
    status: int | None = None
    duration_ms: int | None = None

    def as_json(self) -> dict[str, JsonValue]:
        """Return the form for output."""
        return {
            "name": self.name,
            "verdict": self.verdict,
            "message": self.message,
            "hint": self.hint,
            "status": self.status,
            "durationMs": self.duration_ms,
        }


def refusal(status: int, of: str) -> tuple[Verdict, str, str | None]:
    """Judge the answer to a request that must be refused: any 4xx will do."""
    if _CLIENT_ERROR <= status < _SERVER_ERROR:
        return "passed", f"refused with {status}", None
    if status >= _SERVER_ERROR:
        return "warning", f"answered {status}", "answer 401: a 5xx asks us to try again"
    return (
        "failed",
        f"answered {status}, although the request has {of}",
        "compare signature with the HMAC of requestID before anything else, and answer 401",
    )


def hearing(status: int, *, has_log: bool) -> tuple[Verdict, str, str | None]:
    """Judge the answer to the executed hook."""
    if status == OK:
        return "passed", "heard, with a log to keep" if has_log else "heard, without a log", None
    if status == NOT_FOUND:
        return "passed", "404: it does not want to be told", None
    hint = 'answer 200, with or without {"log": …}, or 404 if you do not want this hook'
    return "failed", f"answered {status}", hint
