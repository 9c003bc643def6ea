"""What an error of a call to Temporal means: every call is judged here.

A refusal will come again, however often the same call is tried. A denial concerns our rights or
the namespace, not the call: an operator has to mend it. Everything else may pass by itself.
"""

from enum import Enum
from typing import Final

from temporalio.service import RPCError, RPCStatusCode

from activityctl.errors import ActivityctlError, RefusedError, UnreachableError


class RpcFailure(Enum):
    """The meaning of an error."""

    REFUSED = "refused"
    """The server refuses this call for good."""
    ABSENT = "absent"
    """What the call names does not exist."""
    DENIED = "denied"
    """Our rights, the namespace or the server's version are not as they must be."""
    THROTTLED = "throttled"
    """The server is busy."""
    UNREACHABLE = "unreachable"
    """The server does not answer, or not in time. Our own timeouts give CANCELLED."""


_BY_STATUS: Final = {
    RPCStatusCode.INVALID_ARGUMENT: RpcFailure.REFUSED,
    RPCStatusCode.FAILED_PRECONDITION: RpcFailure.REFUSED,
    RPCStatusCode.OUT_OF_RANGE: RpcFailure.REFUSED,
    RPCStatusCode.NOT_FOUND: RpcFailure.ABSENT,
    RPCStatusCode.PERMISSION_DENIED: RpcFailure.DENIED,
    RPCStatusCode.UNAUTHENTICATED: RpcFailure.DENIED,
    RPCStatusCode.UNIMPLEMENTED: RpcFailure.DENIED,
    RPCStatusCode.RESOURCE_EXHAUSTED: RpcFailure.THROTTLED,
}
_OF_THE_SERVER: Final = ("Namespace", "VersionNotSupported")
"""Parts of the names of failures that concern the namespace or the server, not the call."""
_TOO_LARGE: Final = "larger than max"
"""gRPC reports a message that is too large as an exhausted resource."""


def meaning_of(error: RPCError) -> RpcFailure:
    """Return what the error means."""
    if error.status is RPCStatusCode.RESOURCE_EXHAUSTED and _TOO_LARGE in error.message:
        return RpcFailure.REFUSED
    meaning = _BY_STATUS.get(error.status, RpcFailure.UNREACHABLE)
    if meaning in {RpcFailure.REFUSED, RpcFailure.ABSENT} and _concerns_server(error):
        return RpcFailure.DENIED
    return meaning


def _concerns_server(error: RPCError) -> bool:
    kinds = [detail.type_url.rpartition("/")[2] for detail in error.grpc_status.details]
    return any(part in kind for kind in kinds for part in _OF_THE_SERVER)


def error_of(error: RPCError, what: str) -> ActivityctlError:
    """Return RefusedError if another try would be refused too, else UnreachableError.

    `what` says what could not be done: `Temporal could not start a run`.
    """
    if meaning_of(error) is RpcFailure.REFUSED:
        return RefusedError(f"{what}, because it refuses the request: {error.message}")
    return UnreachableError(f"{what}: {error.message}")
