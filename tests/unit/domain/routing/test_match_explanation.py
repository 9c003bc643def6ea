import json
from typing import Any

from activityctl.domain.events.trigger import EventTrigger
from activityctl.domain.routing.match_explanation import (
    ClauseResult,
    MatchExplanation,
    Operand,
    explain_match,
)

EVENT: dict[str, Any] = {
    "id": "1",
    "source": "/shops/hamburg",
    "type": "order.created",
    "data": {"amount": 12, "region": "us", "items": [{"sku": "a"}]},
}


def explained(**body: Any) -> MatchExplanation:
    trigger = EventTrigger.model_validate_json(json.dumps(body))
    return explain_match(trigger, {"threshold": 10, "vip": True}, EVENT)


def test_each_operand_of_and_is_shown_with_the_values_it_compares():
    found = explained(filter='event.data.amount > params.threshold && event.data.region == "eu"')
    assert found.parts == (
        ClauseResult(
            "event.data.amount > params.threshold",
            holds=True,
            operands=(Operand("event.data.amount", 12), Operand("params.threshold", 10)),
        ),
        ClauseResult(
            'event.data.region == "eu"',
            holds=False,
            reason='filter is false: event.data.region == "eu"',
            operands=(Operand("event.data.region", "us"),),
        ),
    )
    assert found.match.reason == 'filter is false: event.data.region == "eu"'


def test_short_forms_are_shown_with_the_values_they_compare():
    found = explained(type="order.*", subject="x", match={"data.tier": "gold"})
    assert [(part.holds, part.operands) for part in found.parts] == [
        (True, (Operand("event.type", "order.created"),)),
        (False, (Operand("event.subject", error="is missing"),)),
        (False, (Operand("event.data.tier", error="is missing"),)),
    ]
    assert found.match.reason == "subject is missing, not x"


def test_parts_after_the_first_false_one_are_shown_too():
    found = explained(type="payment", filter="event.data.amount > 1")
    assert [part.holds for part in found.parts] == [False, True]


def test_or_and_not_are_split_down_to_their_comparisons():
    (part,) = explained(filter="!params.vip || (event.data.amount > 99 && params.vip)").parts
    assert (part.operator, part.holds) == ("||", False)
    negation, both = part.clauses
    assert (negation.operator, negation.holds) == ("!", False)
    assert negation.clauses[0].operands == (Operand("params.vip", value=True),)
    assert (both.operator, both.holds) == ("&&", False)
    assert [clause.holds for clause in both.clauses] == [False, True]


def test_a_condition_of_another_form_shows_all_values_it_reads():
    (part,) = explained(filter="event.data.items.exists(i, i.sku == event.data.region)").parts
    assert part.holds is False
    assert part.operands == (
        Operand("event.data.items", [{"sku": "a"}]),
        Operand("event.data.region", "us"),
    )


def test_a_clause_that_cannot_be_evaluated_has_its_error():
    (part,) = explained(filter="event.data.total * 2 > params.threshold || params.vip").parts
    assert part.holds is True
    broken, fine = part.clauses
    assert broken.holds is None
    assert "no such key: 'total'" in (broken.reason or "")
    assert "no such key: 'total'" in (broken.operands[0].error or "")
    assert broken.operands[1] == Operand("params.threshold", 10)
    assert fine.holds is True
