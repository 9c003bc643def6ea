"""Evaluator: where expressions are evaluated whose work may be much; and how much is done in place.

It also checks params against a JSON Schema, whose patterns may be as much work.

An expression with little work is evaluated where it is asked for. The program asks the present
evaluator for the others. Outside of a worker or a command there is none.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Protocol

UNLIMITED: Final = 1 << 60


class EvaluatesElsewhere(Exception):  # noqa: N818 - no failure; never shown to a person
    """The evaluation must be done again where more work is allowed; see `InPlaceOnly`."""


class Evaluator(Protocol):
    """Evaluates expressions whose work may be much."""

    most_data: int
    """Characters and values of the data that are converted in place for one evaluation."""

    def count(self, work: int) -> None:
        """Count work that is done in place, in units of `Program`; may raise."""
        ...

    def evaluate(self, source: str, data: Mapping[str, Any]) -> Any:
        """Return the value of an expression as JSON; `data` is in the runtime's form.

        Raises ExpressionError, or ExpressionBudgetError when the evaluation takes too long.
        """
        ...

    def check_params(
        self, schema: Mapping[str, Any], params: Mapping[str, Any]
    ) -> Sequence[tuple[Sequence[str | int], str]]:
        """Return path and reason of each place where params do not match a JSON Schema.

        Raises ExpressionBudgetError when the check takes too long.
        """
        ...


class InPlaceOnly:
    """Allows little work, for a place that must not be blocked, such as an event loop.

    More work raises EvaluatesElsewhere; the caller then repeats the whole decision in a thread.
    """

    most_data = 1 << 16
    _MOST_WORK: Final = 200_000

    def __init__(self) -> None:
        self._left = self._MOST_WORK

    def count(self, work: int) -> None:
        """Count work; raise EvaluatesElsewhere when it is more than allowed in all."""
        self._left -= work
        if self._left < 0:
            raise EvaluatesElsewhere

    def evaluate(self, source: str, data: Mapping[str, Any]) -> Any:  # noqa: ARG002 - the protocol
        """Raise EvaluatesElsewhere."""
        raise EvaluatesElsewhere

    def check_params(
        self,
        schema: Mapping[str, Any],  # noqa: ARG002 - the protocol
        params: Mapping[str, Any],  # noqa: ARG002 - the protocol
    ) -> Sequence[tuple[Sequence[str | int], str]]:
        """Raise EvaluatesElsewhere."""
        raise EvaluatesElsewhere


_PRESENT: ContextVar[Evaluator | None] = ContextVar("evaluator", default=None)
present_evaluator = _PRESENT.get


def set_evaluator(evaluator: Evaluator | None) -> None:
    """Set the evaluator of this context, and of tasks and threads that copy it."""
    _PRESENT.set(evaluator)


@contextmanager
def evaluating_with(evaluator: Evaluator | None) -> Iterator[None]:
    """Use an evaluator within the block."""
    token = _PRESENT.set(evaluator)
    try:
        yield
    finally:
        _PRESENT.reset(token)
