"""Keeps the texts of exceptions out of Temporal; it gets only their type and stack trace."""

from dataclasses import replace
from typing import Final

from temporalio.api.failure.v1 import Failure
from temporalio.converter import DataConverter, DefaultFailureConverter, PayloadConverter
from temporalio.exceptions import ApplicationError, FailureError

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
            name = type(exception).__name__
            reported = ApplicationError("see the worker's log for the message", type=name)
            reported.with_traceback(exception.__traceback__)
        super().to_failure(reported, payload_converter, failure)
        if isinstance(reported, ApplicationError) and reported.type in FAILURES:
            failure.stack_trace = ""  # of a workflow that has done its work; it tells nothing


DISCREET_CONVERTER: Final = replace(
    DataConverter.default, failure_converter_class=DiscreetFailureConverter
)
