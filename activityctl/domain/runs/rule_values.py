"""What the rules of a run said, worked out again from what the run kept at its admission."""

from activityctl.domain.cel.expression import evaluate_condition
from activityctl.domain.manifests.definition import DefinitionSpec
from activityctl.domain.runs.run import Run
from activityctl.domain.runs.scope import run_scope
from activityctl.domain.values.json_form import View
from activityctl.errors import ExpressionError
from activityctl.frozen_dataclass import frozen_dataclass


@frozen_dataclass
class RuleValue:
    """One rule and its value; None if it was not evaluated, or could not be."""

    when: str
    value: bool | None
    reason: str | None = None
    """Why the run was skipped, or why the rule has no value."""


def rule_values(run: Run, spec: DefinitionSpec) -> tuple[RuleValue, ...]:
    """Return the rules in order, each with its value.

    After the first rule that is false or fails, none is evaluated. None was, if the run was refused
    for another reason or waits. An expression with `now` sees the start of the run.
    """
    found: list[RuleValue] = []
    scope = run_scope(run, run.started_at or run.created_at)
    goes_on = run.started_at is not None or (run.has_ended and _was_skipped_by_a_rule(run, spec))
    for rule in spec.rules:
        if not goes_on:
            found.append(RuleValue(rule.when, None, "not evaluated"))
            continue
        try:
            value = evaluate_condition(rule.when, scope)
        except ExpressionError as error:
            found.append(RuleValue(rule.when, None, str(error)))
            goes_on = False
            continue
        reason = None if value else rule.otherwise or "the run is skipped"
        found.append(RuleValue(rule.when, value, reason))
        goes_on = value
    return tuple(found)


def _was_skipped_by_a_rule(run: Run, spec: DefinitionSpec) -> bool:
    reasons = {rule.otherwise or f"rule does not hold: {rule.when}" for rule in spec.rules}
    return run.reason in reasons


def rule_view(rule: RuleValue) -> View:
    """Return the JSON view of a rule and its value."""
    return {"when": rule.when, "value": rule.value, "reason": rule.reason}
