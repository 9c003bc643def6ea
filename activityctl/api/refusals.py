"""Errors that only HTTP has: what a request is refused for before any operation is called."""

from typing import ClassVar, Final

from activityctl.errors import ActivityctlError


class HttpRefusedError(ActivityctlError):
    """A request that is refused; `retry_after` says after how many seconds to try again."""

    code = "bad_request"
    status: ClassVar[int] = 400
    closes: ClassVar[bool] = False
    """Whether the connection ends with the answer, because the rest of the request is not read."""

    def __init__(
        self, message: str, *, hint: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class BadRequestError(HttpRefusedError):
    """The request is not one that this server answers: its form, its host or its length."""

    closes = True


class UnauthorizedError(HttpRefusedError):
    """There is no valid token. The answer is the same whatever is wrong with it."""

    code = "unauthorized"
    status = 401

    def __init__(self) -> None:
        super().__init__(
            "a valid token is needed", hint="send the header Authorization: Bearer TOKEN"
        )


class TokenEndedError(HttpRefusedError):
    """The token was valid when the request came, and is so no more."""

    code = "token_ended"
    status = 401

    def __init__(
        self, hint: str = "send the request again with a valid token; what it has begun goes on"
    ) -> None:
        super().__init__("the token was revoked or has expired meanwhile", hint=hint)


class ForeignOriginError(HttpRefusedError):
    """The request comes from a web page of another site."""

    code = "foreign_origin"
    status = 403


class NoSuchPathError(HttpRefusedError):
    """There is nothing at this path."""

    code = "not_found"
    status = 404


class MethodNotAllowedError(HttpRefusedError):
    """The path does not have this method."""

    code = "method_not_allowed"
    status = 405


class PreconditionFailedError(HttpRefusedError):
    """The object, or the plan, is not the one that If-Match names."""

    code = "precondition_failed"
    status = 412


class SlowRequestError(HttpRefusedError):
    """The body did not arrive in time."""

    code = "request_timeout"
    status = 408
    closes = True


class BodyTooLargeError(HttpRefusedError):
    """The body is larger than allowed; the rest of it is not read."""

    code = "body_too_large"
    status = 413
    closes = True


class UnsupportedMediaTypeError(HttpRefusedError):
    """The body has a content type that this path does not take."""

    code = "unsupported_media_type"
    status = 415


class TooManyRequestsError(HttpRefusedError):
    """The token or the address sends more requests than allowed."""

    code = "too_many_requests"
    status = 429
    retryable = True


class BusyError(HttpRefusedError):
    """The server has as much to do as it may; nothing of the request was done."""

    code = "busy"
    status = 503
    retryable = True
    closes = True


class NoKeyStoreError(HttpRefusedError):
    """The machine of the server has no place where it can keep keys."""

    code = "no_key_store"
    status = 503


HEADER_BYTES: Final = 64 * 1024
"""The most bytes that the path, its parameters and all headers of a request may have."""


class LongHeadersError(HttpRefusedError):
    """The headers are too large."""

    code = "headers_too_large"
    status = 431

    def __init__(self) -> None:
        super().__init__(f"the path and the headers are larger than {HEADER_BYTES // 1024} KiB")
