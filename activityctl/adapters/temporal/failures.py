"""Keeps the texts of exceptions out of Temporal; it gets only their type and stack trace."""

from dataclasses import replace
from typing import Final

from temporalio.api.failure.v1 import Failure
from temporalio.converter import (
    DataConverter,
    DefaultFailureConverter,
    PayloadCodec,
    PayloadConverter,
)
from temporalio.exceptions import ApplicationError, FailureError

from activityctl.adapters.temporal.payload_codec import ReadableConverter, UnreadablePayloadError
from activityctl.domain.runs.run import FAILURES


class DiscreetFailureConverter(DefaultFailureConverter):
    """Passes on the text of Temporal's own errors, which we write, and of no others.

    The text of an error from a database, a library or a task may quote secret data.
    """

    def to_failure(
        self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure
    ) -> None:
        """Write the exception and its causes into the failure."""
        reported = exception
        if not isinstance(exception, FailureError):
            reported = ApplicationError(_text(exception), type=type(exception).__name__)
            reported.with_traceback(exception.__traceback__)
        super().to_failure(reported, payload_converter, failure)
        if isinstance(reported, ApplicationError) and reported.type in FAILURES:
            failure.stack_trace = ""  # of a workflow that has done its work; it tells nothing


def _text(exception: BaseException) -> str:
    """Return what may be said: which key is missing, if that is the cause; else nothing of it."""
    cause: BaseException | None = exception
    while cause is not None:
        if isinstance(cause, UnreadablePayloadError):
            return str(cause)
        cause = cause.__cause__
    return "see the worker's log for the message"


_DISCREET: Final = replace(
    DataConverter.default,
    payload_converter_class=ReadableConverter,
    failure_converter_class=DiscreetFailureConverter,
)


def converter_with(codec: PayloadCodec | None) -> DataConverter:
    """Return the converter of all our clients and replays; `codec` encrypts, None does not."""
    return replace(_DISCREET, payload_codec=codec)
