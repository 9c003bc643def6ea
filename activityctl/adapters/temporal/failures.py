"""What Temporal may know of an exception: its type and place, not its text."""

from dataclasses import replace
from typing import Final

from temporalio.api.failure.v1 import Failure
from temporalio.converter import DataConverter, DefaultFailureConverter, PayloadConverter
from temporalio.exceptions import ApplicationError, FailureError


class DiscreetFailureConverter(DefaultFailureConverter):
    """Passes on the texts of Temporal's own errors, which we write, and of no others.

    An error of a database, a library or a task quotes the data that it stumbled over.
    """

    def to_failure(
        self, exception: BaseException, payload_converter: PayloadConverter, failure: Failure
    ) -> None:
        """Write the exception, and the causes that it names, into the failure."""
        told = exception
        if not isinstance(exception, FailureError):
            name = type(exception).__name__
            told = ApplicationError("the worker's log says more", type=name)
            told.with_traceback(exception.__traceback__)
        super().to_failure(told, payload_converter, failure)


DISCREET_CONVERTER: Final = replace(
    DataConverter.default, failure_converter_class=DiscreetFailureConverter
)
