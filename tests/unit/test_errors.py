"""The tree of errors: codes, exit codes and messages that scripts rely on."""

import inspect

import pytest

from activityctl import errors
from activityctl.errors import (
    ActivityctlError,
    AmbiguousError,
    DatabaseDeniedError,
    DatabaseNotFoundError,
    InvalidEventError,
    InvalidManifestsError,
    NotFoundError,
    OutdatedPlanError,
    OutputError,
    Problem,
    SchemaMismatchError,
    ServerNotReadyError,
    TaskError,
    WorkerStartedError,
)

TREE = [
    error
    for _, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, ActivityctlError)
]
SHARED_CODES = {  # scripts know the kind of each
    ServerNotReadyError: "failed",
    SchemaMismatchError: "refused",
    WorkerStartedError: "refused",
    DatabaseDeniedError: "not_allowed",
    DatabaseNotFoundError: "not_found",
    OutdatedPlanError: "conflict",
}
BUILT_FROM_FACTS = {
    AmbiguousError,
    DatabaseNotFoundError,
    InvalidEventError,
    InvalidManifestsError,
    NotFoundError,
    OutputError,
    TaskError,
}
EXIT_CODES = {
    "failed": 1,
    "refused": 1,
    "task_failed": 1,
    "usage": 2,
    "invalid_input": 3,
    "invalid_manifest": 3,
    "invalid_event": 3,
    "unstorable": 3,
    "expression_error": 3,
    "expression_budget": 3,
    "destination_forbidden": 3,
    "not_found": 4,
    "ambiguous": 4,
    "conflict": 5,
    "not_allowed": 6,
    "unreachable": 7,
    "outcome_unknown": 7,
    "timeout": 8,
    "too_slow": 8,
    "output_failed": 74,
    "interrupted": 130,
    "internal": 70,
}


RETRYABLE = {"unreachable", "timeout", "too_slow"}


def test_every_error_has_the_code_and_exit_code_that_scripts_rely_on():
    assert {error.code: error.exit_code for error in TREE} == EXIT_CODES
    assert len(TREE) == len(EXIT_CODES) + len(SHARED_CODES)
    assert {error: error.code for error in SHARED_CODES} == SHARED_CODES


def test_only_temporary_errors_are_retryable():
    assert {error.code for error in TREE if error.retryable} == RETRYABLE


@pytest.mark.parametrize("error", [error for error in TREE if error not in BUILT_FROM_FACTS])
def test_an_error_has_a_message_and_a_hint(error: type[ActivityctlError]):
    raised = error("it broke", hint="activityctl up")
    assert (str(raised), raised.message, raised.hint) == ("it broke", "it broke", "activityctl up")
    assert error("it broke").hint is None


def test_the_message_names_the_object_that_was_not_found():
    error = NotFoundError("run", "abc", hint="activityctl get runs")
    assert str(error) == 'run "abc" not found'
    assert error.hint == "activityctl get runs"


def test_a_task_error_says_whether_to_retry():
    assert (TaskError("no").task_code, TaskError("no").may_retry) == ("task_failed", True)
    error = TaskError("no", code="bad_input", retryable=False)
    assert (error.task_code, error.may_retry) == ("bad_input", False)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("a.yaml", 3, 7, "spec.tasks", "no"), "a.yaml:3:7: spec.tasks: no"),
        (Problem("a.yaml", 3, 7, "", "no"), "a.yaml:3:7: no"),
        (Problem("a.yaml", 0, 0, "", "no"), "a.yaml: no"),
        (Problem("a.yaml", 0, 0, "spec", "no"), "a.yaml: spec: no"),
    ],
)
def test_a_problem_is_one_line_with_its_position(problem: Problem, text: str):
    assert str(problem) == text


def test_problems_are_unique_and_sorted_by_file_and_line():
    late = Problem("a.yaml", 10, 1, "", "x")
    early = Problem("a.yaml", 9, 1, "", "x")
    other = Problem("b.yaml", 1, 1, "", "x")
    error = InvalidManifestsError([other, late, early, late])
    assert error.problems == (early, late, other)
    assert str(error) == "3 problems found; nothing was changed"
    assert str(InvalidManifestsError([late])) == "1 problem found; nothing was changed"
