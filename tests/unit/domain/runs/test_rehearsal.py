"""A rehearsal tells what a replay would call, keep and evaluate, and what differs from then."""

from dataclasses import replace
from typing import Any

from activityctl.domain.runs.rehearsal import Part, Rehearsal, rehearse
from activityctl.domain.runs.replay import ReplayedRun, as_replay
from activityctl.domain.runs.replay_request import ContextOf, ReplayOptions
from activityctl.domain.runs.run import RunState, RunStatus
from activityctl.domain.values import ids
from activityctl.domain.values.ids import RevisionId
from support.advancing import LATER, THREE, begun, ended, failed_at_b, spec_of, task
from support.runs import run_of


def rehearsed(before: RunState, spec: Any = None, **options: Any) -> Rehearsal:
    replayed = ReplayedRun(before.run, before.tasks, ReplayOptions(**options))
    fields = {} if spec is None else {"revision_id": RevisionId("other")}
    spec = spec or before.spec
    run = as_replay(run_of(LATER, ids.replay_of_key(before.run.id, "x"), **fields), spec, replayed)
    return rehearse(before, run, spec, replayed, LATER)


def parts(found: Rehearsal) -> dict[str, str]:
    return {each.task.name: each.part.value for each in found.tasks}


def done() -> RunState:
    return ended(ended(ended(begun(*THREE), "a", output="one"), "b"), "c", output="three")


def test_of_a_failed_run_the_failed_task_is_called_and_what_needs_it_is_undecided():
    found = rehearsed(failed_at_b())
    assert parts(found) == {"a": "kept", "b": "called", "c": "undecided"}
    assert [each.has_fresh_key for each in found.tasks] == [False] * 3
    assert found.end is None
    called = found.part(Part.CALLED)[0]
    assert (called.calls_outside, called.has_other_input) == (True, False)


def test_a_run_that_succeeded_is_kept_whole_and_from_a_task_on_called_with_new_keys():
    kept = rehearsed(done())
    assert set(parts(kept).values()) == {"kept"}
    assert kept.end is not None
    assert kept.end.status is RunStatus.SUCCEEDED
    found = rehearsed(done(), from_tasks=("b",))
    assert parts(found) == {"a": "kept", "b": "called", "c": "called"}
    assert [each.has_fresh_key for each in found.tasks] == [False, True, True]
    assert found.end is not None
    assert set(parts(rehearsed(done(), all_tasks=True)).values()) == {"called"}


def test_with_another_revision_inputs_rules_and_skipped_tasks_differ():
    spec = spec_of(
        task("a"),
        task("b", needs=["a"], say="${ tasks.a.output }!"),
        task("c", needs=["b"], when="params.n == 2"),
        task("d", needs=["b"], say="${ params.n / 0 }"),
        rules=[{"when": "params.n == 1"}],
    )
    before = replace(done(), run=replace(done().run, params={"n": 1}))
    replayed = ReplayedRun(before.run, before.tasks, ReplayOptions(all_tasks=True))
    run = run_of(LATER, "k", revision_id=RevisionId("other"), params={"n": 1})
    found = rehearse(before, as_replay(run, spec, replayed), spec, replayed, LATER)
    assert parts(found) == {"a": "called", "b": "called", "c": "skipped", "d": "fails"}
    assert {each.task.name: each.has_other_input for each in found.tasks}["b"]
    (rule,) = found.rules
    assert (rule.holds, rule.held) == (True, None)
    other = rehearse(
        before,
        as_replay(replace(run, params={"n": 2}), spec, replayed),
        spec,
        replayed,
        LATER,
    )
    assert (other.tasks, other.rules[0].holds) == ((), False)
    assert other.end is not None
    assert other.end.status is RunStatus.SKIPPED


def test_what_needs_context_that_is_not_resolved_yet_is_undecided():
    spec = spec_of(*THREE, context=[{"name": "rate", "runs": {}}], rules=[{"when": "context.rate"}])
    found = rehearsed(replace(done(), spec=spec), context=ContextOf.LIVE, from_tasks=("c",))
    assert found.to_resolve == ("rate",)
    assert parts(found) == {"a": "kept", "b": "kept", "c": "undecided"}
    assert found.rules[0].holds is None


def test_values_waits_and_rounds_end_as_they_did_then():
    tasks = (
        {"name": "v", "value": {"of": "${ trigger.payload.n }"}},
        {"name": "w", "wait": {"for": "1h"}, "needs": ["v"]},
        task("poll", needs=["w"], repeat={"max": 2, "delay": "1s"}),
    )
    state = begun(*tasks, run={"payload": {"n": 1}})
    assert state.tasks[0].status.value == "succeeded"
    found = rehearsed(state, all_tasks=True)
    assert parts(found)["v"] == "evaluated"
    assert (parts(found)["w"], parts(found)["poll"]) == ("called", "undecided")
    assert not any(each.calls_outside for each in found.tasks)
