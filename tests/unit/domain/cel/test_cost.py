"""What may be much work is not evaluated in place, whatever the data contains."""

from collections.abc import Mapping
from typing import Any

import pytest

from activityctl.domain.cel.cost import extent_of
from activityctl.domain.cel.evaluator import EvaluatesElsewhere, InPlaceOnly, evaluating_with
from activityctl.domain.cel.expression import evaluate, render
from activityctl.domain.cel.regular_expression import MOST_INSTRUCTIONS, pattern_instructions
from activityctl.errors import ExpressionBudgetError
from support.dear import CASES, NUMBERS


class Asked:
    """An evaluator that remembers the sources that it was asked for, and answers `true`."""

    most_data = 1 << 60

    def __init__(self) -> None:
        self.sources: list[str] = []

    def count(self, work: int) -> None:
        """Allow everything."""

    def evaluate(self, source: str, data: Mapping[str, Any]) -> Any:
        assert data
        self.sources.append(source)
        return True

    def check_params(self, schema: object, params: object) -> Any:
        raise AssertionError(schema, params)


@pytest.mark.parametrize("case", CASES)
def test_much_work_is_given_to_the_evaluator_or_refused(case: str) -> None:
    source, data = CASES[case]
    asked = Asked()
    refusal = ""
    with evaluating_with(asked):
        try:
            evaluate(source, {"event": {"data": data}})
        except ExpressionBudgetError as error:
            refusal = error.message
    assert asked.sources == [source] or "with data of this size it may take" in refusal


@pytest.mark.parametrize("case", CASES)
def test_without_an_evaluator_much_work_is_refused_at_once(case: str) -> None:
    source, data = CASES[case]
    with pytest.raises(ExpressionBudgetError, match="too much work"):
        evaluate(source, {"event": {"data": data}})


@pytest.mark.parametrize(
    "source",
    [
        "event.data.number == 3",
        "event.data.items.exists(i, i.sku.startsWith('s-1'))",
        "event.data.items.map(i, i.sku).join(',')",
        "event.data.name.matches('^[a-z]+-[0-9]{1,4}$')",
        "event.data.name in ['a', 'b'] || event.data.items.size() > 3",
    ],
)
def test_ordinary_expressions_are_evaluated_in_place(source: str) -> None:
    items = [{"sku": f"s-{number}", "count": number} for number in range(50)]
    data = {"number": 3, "name": "shop-17", "items": items}
    asked = Asked()
    with evaluating_with(asked):
        evaluate(source, {"event": {"data": data}})
    assert asked.sources == []


@pytest.mark.parametrize("case", CASES)
def test_where_only_little_work_is_allowed_the_rest_is_done_elsewhere(case: str) -> None:
    source, data = CASES[case]
    with evaluating_with(InPlaceOnly()), pytest.raises(EvaluatesElsewhere):
        evaluate(source, {"event": {"data": data}})


def test_many_small_expressions_add_up_to_much_work() -> None:
    scope = {"event": {"data": {"numbers": NUMBERS[:100]}}}
    with evaluating_with(InPlaceOnly()):
        render("${ event.data.numbers.size() }", scope)
        with pytest.raises(EvaluatesElsewhere):
            render(["${ event.data.numbers.exists(n, n == 5) }"] * 1_000, scope)


def test_copying_much_data_is_much_work() -> None:
    scope = {"event": {"data": {"numbers": NUMBERS * 10}}}
    with evaluating_with(InPlaceOnly()), pytest.raises(EvaluatesElsewhere):
        render("${ event.data }", scope)


@pytest.mark.parametrize(
    ("pattern", "least"),
    [("abc", 3), ("(a?){500}", 500), ("((a{30}){30}){30}", 27_000), ("a{1,1000}b{1000}", 2_000)],
)
def test_repetitions_make_a_pattern_large(pattern: str, least: int) -> None:
    assert least <= pattern_instructions(pattern) <= MOST_INSTRUCTIONS


def test_the_extent_of_a_value_counts_what_is_in_it() -> None:
    extent = extent_of({"names": ["ab", "cde"], "inner": {"list": [1] * 7}})
    assert extent.values >= 12
    assert extent.chars >= len("namesinnerlist") + 5
    assert (extent.length, extent.part_length) == (2, 7)
    assert extent.part.part_length == 7
