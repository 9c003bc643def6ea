"""Refusal: why a request is no event, with a stable code and the status of the answer."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from activityctl.frozen_dataclass import frozen_dataclass


class RefusalCode(StrEnum):
    """Why a request is refused."""

    METHOD_NOT_ALLOWED = "method_not_allowed"
    BODY_TOO_LARGE = "body_too_large"
    SIGNATURE_MISSING = "signature_missing"
    SIGNATURE_INVALID = "signature_invalid"
    TIMESTAMP_INVALID = "timestamp_invalid"
    TIMESTAMP_OUTSIDE_TOLERANCE = "timestamp_outside_tolerance"
    TOKEN_MISSING = "token_missing"  # noqa: S105 - a code
    TOKEN_INVALID = "token_invalid"  # noqa: S105 - a code
    SECRET_UNAVAILABLE = "secret_unavailable"  # noqa: S105 - a code
    BODY_UNREADABLE = "body_unreadable"
    MAPPING_FAILED = "mapping_failed"
    EXPRESSION_BUDGET = "expression_budget"
    EVENT_INVALID = "event_invalid"
    CONFLICT = "conflict"


_STATUSES: Final[Mapping[RefusalCode, int]] = {
    RefusalCode.METHOD_NOT_ALLOWED: 405,
    RefusalCode.BODY_TOO_LARGE: 413,
    RefusalCode.SIGNATURE_MISSING: 401,
    RefusalCode.SIGNATURE_INVALID: 401,
    RefusalCode.TIMESTAMP_INVALID: 401,
    RefusalCode.TIMESTAMP_OUTSIDE_TOLERANCE: 401,
    RefusalCode.TOKEN_MISSING: 401,
    RefusalCode.TOKEN_INVALID: 401,
    RefusalCode.SECRET_UNAVAILABLE: 503,
    RefusalCode.BODY_UNREADABLE: 400,
    RefusalCode.MAPPING_FAILED: 400,
    RefusalCode.EXPRESSION_BUDGET: 400,
    RefusalCode.EVENT_INVALID: 400,
    RefusalCode.CONFLICT: 409,
}
UNVERIFIED: Final = 401


@frozen_dataclass
class Refusal:
    """Why a request is refused; the reason is for the owner of the source, not for the sender."""

    code: RefusalCode
    reason: str

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return _STATUSES[self.code]
