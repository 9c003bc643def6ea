"""Compiles and evaluates CEL: the environment, the cache of programs, the budgets."""

import functools
from collections.abc import Mapping
from typing import Any, Final

from cel_expr_python import cel

from activityctl.domain.cel import functions
from activityctl.domain.cel.conversion import Size, from_cel, plain_to_json, to_cel
from activityctl.domain.cel.cost import estimate
from activityctl.domain.cel.evaluator import Evaluator, present_evaluator
from activityctl.domain.cel.messages import (
    TOO_DEEP,
    compile_fault,
    evaluation_fault,
    one_line,
)
from activityctl.domain.cel.shape import Shape, read_shape
from activityctl.domain.cel.tree import Node, read_tree
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ExpressionBudgetError, ExpressionError
from activityctl.frozen_dataclass import frozen_dataclass

NAMES: Final = (
    "params",
    "trigger",
    "event",
    "context",
    "tasks",
    "run",
    "state",
    "item",
    "now",
    "error",
    "response",
    "request",
)
"""All names that expressions may use; not each of them is available in each place."""
MAX_SOURCE_BYTES: Final = 2048
"""The longest source of an expression; it limits the work that a source can cause."""

_MAX_ITERATIONS: Final = 10_000
"""The limit of the runtime for one evaluation; it cannot be configured."""
_MAX_COLLECTED: Final = 1_000
"""The most items for `map` and `filter`; the runtime needs 5 s and 800 MB for 8,000."""
_MAX_GROWN: Final = 128 << 20
"""The most characters and values that an evaluation may build."""
_MAX_SCANNED: Final = 1_000_000_000
"""The most characters that an evaluation may read: iterations times the longest string."""
_MAX_GATHERED: Final = 64 << 20
"""The most characters of a list that `map` built, as an argument of `join` and `format`."""
_LITTLE_WORK: Final = 20_000
"""Up to so many units of work (see `_work`), an evaluation takes at most 2 ms."""
_IN_PLACE: Final = 4_000_000
"""The most nanoseconds of an evaluation in place, where it cannot be stopped."""
_ALONE: Final = 2_000_000_000
"""The most nanoseconds in place if there is no evaluator."""
_MOST_NANOSECONDS: Final = 1_000_000_000_000
_MULTIPLIES: Final = "the expression multiplies its data too often"


@frozen_dataclass
class Fault:
    """Why a source does not compile; the offset counts characters from 0."""

    offset: int
    reason: str
    is_budget: bool = False


@frozen_dataclass
class Program:
    """A compiled expression."""

    source: str
    shape: Shape
    compiled: Any

    @property
    def tree(self) -> Node:
        """The root of its tree."""
        return _tree(self.source)

    def evaluate(self, scope: Mapping[str, Any]) -> JsonValue:
        """Return the value; raise ExpressionError or ExpressionBudgetError with the source."""
        try:
            return self._evaluate(scope)
        except ExpressionError as error:
            shown = one_line(self.source)
            shown = shown if len(shown) <= 80 else shown[:79] + "…"  # noqa: PLR2004 - one line
            note = _note_about_event(self.shape, scope)
            raise type(error)(f"{error.message}, in {shown}{note}") from None

    def _evaluate(self, scope: Mapping[str, Any]) -> JsonValue:
        evaluator = present_evaluator()
        size = Size() if evaluator is None else Size(most=evaluator.most_data)
        data = to_cel(scope, self.shape.paths, size)
        work = _work(self.shape, size)
        if evaluator is not None:
            evaluator.count(work)
        if isinstance(found := _value_at(data, self.shape.only_path), dict | list):
            return plain_to_json(found)  # keeps the order of keys
        _check_budget(self.shape, size)
        if work > _LITTLE_WORK and self._needs_evaluator(data, evaluator) and evaluator:
            value: JsonValue = evaluator.evaluate(self.source, data)
            return value
        return self.evaluate_here(data)

    def _needs_evaluator(self, data: dict[str, Any], evaluator: Evaluator | None) -> bool:
        """Whether the evaluation may take long; raise ExpressionBudgetError if it is too long."""
        nanoseconds = estimate(self.tree, data)
        if nanoseconds > (_MOST_NANOSECONDS if evaluator else _ALONE):
            seconds = nanoseconds / 1e9
            raise ExpressionBudgetError(
                f"too much work: with data of this size it may take {seconds:,.0f} s"
            )
        return nanoseconds > _IN_PLACE

    def evaluate_here(self, data: Mapping[str, Any]) -> JsonValue:
        """Return the value for data in the runtime's form, however long that takes.

        Raise ExpressionError or ExpressionBudgetError without the source.
        """
        try:
            value = self.compiled.eval(data=data)
        except RuntimeError as error:
            if "Iteration budget" in str(error):
                raise ExpressionBudgetError(f"more than {_MAX_ITERATIONS} iterations") from None
            raise ExpressionError(evaluation_fault(str(error))) from None
        if value.type() == cel.Type.ERROR:
            raise _failure(str(value.value()))
        return from_cel(value)


def _note_about_event(shape: Shape, scope: Mapping[str, Any]) -> str:
    """Return the usual reason why an expression about the event fails; empty if it is not that."""
    is_absent = "event" in shape.names and "event" in scope and scope["event"] is None
    return "; no event started this run, so `event` is null" if is_absent else ""


def _value_at(data: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        data = data.get(name) if isinstance(data, dict) else None
    return data if path else None


def _failure(message: str) -> ExpressionError:
    reason = evaluation_fault(message)
    if reason.startswith(functions.OVER_BUDGET):
        return ExpressionBudgetError(reason.removeprefix(functions.OVER_BUDGET))
    return ExpressionError(reason)


def _work(shape: Shape, size: Size) -> int:
    """Return the work of an evaluation at most, in units of 100 nanoseconds."""
    loops = min(_MAX_ITERATIONS, (size.longest_list + 1) ** shape.loops) if shape.loops else 1
    return (size.text + 16) * shape.weight * loops


def _check_budget(shape: Shape, size: Size) -> None:
    if shape.growth * (size.text + functions.MAX_TEXT) > _MAX_GROWN:
        raise ExpressionBudgetError(_MULTIPLIES)
    longest = max(size.longest_list, functions.MAX_PIECES if shape.splits else 0)
    if shape.collects * longest > _MAX_COLLECTED:
        raise ExpressionBudgetError(
            f"map and filter take at most {_MAX_COLLECTED} items; here they may get"
            f" {shape.collects * longest:.0f}"
        )
    items = size.longest_list + _MAX_COLLECTED  # lists can also come from literals and split
    iterations = min(_MAX_ITERATIONS, items**shape.loops) if shape.loops else 0
    if iterations * size.longest_text > _MAX_SCANNED or (
        shape.gathers and shape.collects and size.longest_list * size.longest_text > _MAX_GATHERED
    ):
        raise ExpressionBudgetError(
            f"too much work: iterating with a string of {size.longest_text} characters"
        )


@functools.lru_cache(maxsize=256)
def _tree(source: str) -> Node:
    """Return the tree of a source that compiles; only what may be much work needs it."""
    return read_tree(environment().compile(source).serialize()).root


@functools.lru_cache(maxsize=1024)
def compiled(source: str) -> Program | Fault:
    """Return the program of a source, or its fault; the last 1024 results are cached."""
    if (fault := _source_fault(source)) is not None:
        return fault
    try:
        expression = environment().compile(source)
    except RuntimeError as error:
        offset, reason = compile_fault(source, str(error), NAMES)
        return Fault(offset, reason, reason == TOO_DEEP)
    shape = read_shape(expression.serialize(), frozenset(NAMES))
    if shape.message is not None:
        return Fault(0, f"unknown type `{one_line(shape.message)}`")
    if shape.growth * functions.MAX_TEXT > _MAX_GROWN or shape.collects > _MAX_COLLECTED:
        return Fault(0, _MULTIPLIES, is_budget=True)
    return Program(source, shape, expression)


def _source_fault(source: str) -> Fault | None:
    if not source.strip():
        return Fault(0, "the expression is empty")
    try:
        length = len(source.encode())
    except UnicodeEncodeError as error:
        return Fault(error.start, "half a surrogate pair is not allowed here")
    if "\0" in source:
        return Fault(source.index("\0"), "a NUL character is not allowed here")
    if length > MAX_SOURCE_BYTES:
        reason = f"the expression has {length} bytes; the limit is {MAX_SOURCE_BYTES}"
        return Fault(0, reason, is_budget=True)
    return None


@functools.cache
def environment() -> Any:
    """Return the CEL environment; it is built at first use, which takes some milliseconds."""
    from cel_expr_python.ext import ext_encoders, ext_math

    variables = dict.fromkeys(NAMES, cel.Type.DYN) | {"now": cel.Type.TIMESTAMP}
    return cel.NewEnv(
        variables=variables,
        extensions=[ext_encoders.ExtEncoders(), ext_math.ExtMath()],
        functions=functions.declarations(),
    )
