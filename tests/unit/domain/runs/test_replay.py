"""A replay keeps what had succeeded, and starts the rest with the input and the keys of before."""

from dataclasses import replace
from typing import Any

import pytest

from activityctl.domain.manifests.definition import DefinitionSpec, Revision
from activityctl.domain.runs.admission import begin
from activityctl.domain.runs.replay import ReplayedRun, as_replay, continues
from activityctl.domain.runs.replay_request import ContextOf, ReplayOptions
from activityctl.domain.runs.revision_change import compare_revisions
from activityctl.domain.runs.run import RunState, RunStatus
from activityctl.domain.runs.run_change import with_tasks
from activityctl.domain.values import ids
from activityctl.domain.values.ids import RevisionId
from support.advancing import (
    LATER,
    NOW,
    THREE,
    applied,
    begun,
    ended,
    failed_at_b,
    spec_of,
    statuses,
    task,
    task_of,
)
from support.runs import run_of


def retry(
    failed: RunState, spec: DefinitionSpec | None = None, *, new_keys: bool = False
) -> RunState:
    """Return the retry as it is stored after its admission; another spec is a new revision."""
    return replay(failed, spec, new_keys=new_keys, context=ContextOf.BY_REVISION)


def replay(before: RunState, spec: DefinitionSpec | None = None, **options: Any) -> RunState:
    """Return the replay as it is stored after its admission."""
    replayed = ReplayedRun(before.run, before.tasks, ReplayOptions(**options))
    fields = {} if spec is None else {"revision_id": RevisionId("other")}
    spec = spec or before.spec
    key = ids.replay_of_key(before.run.id, "x")
    run = as_replay(run_of(LATER, key, **fields), spec, replayed)
    started, decision = begin(run, spec, LATER, replayed)
    return applied(RunState(started, spec, ()), decision)


def keys(state: RunState) -> dict[str, str | None]:
    return {each.name: each.idempotency_key for each in state.tasks}


def test_a_retry_starts_at_the_failed_task_and_goes_on_to_the_end():
    failed = failed_at_b()
    state = retry(failed)
    assert statuses(state) == {"a": "succeeded", "b": "pending"}
    kept = task_of(state, "a")
    assert (kept.output, kept.started_at) == ("one", task_of(failed, "a").started_at)
    assert kept.reason == f"kept from run {failed.run.id}, not run again"
    assert task_of(state, "b").input == task_of(failed, "b").input
    assert (task_of(state, "b").attempts, task_of(state, "b").error) == (0, None)
    state = ended(ended(state, "b"), "c")
    assert task_of(state, "c").input == "one"
    assert (state.run.status, state.run.replay_of) == (RunStatus.SUCCEEDED, failed.run.id)
    assert {each.run_id for each in state.tasks} == {state.run.id}
    assert failed == failed_at_b(), "the failed run stays as it is"


def test_every_task_keeps_the_key_of_the_first_run_and_new_keys_are_another_set():
    failed = failed_at_b()
    first = {name: ids.task_id(failed.run.id, name, 0) for name in ("a", "b", "c")}
    again = ended(retry(failed), "b", error="503 again")
    assert keys(again) == {**first, "page": None}
    third = ended(retry(again), "b")
    assert keys(third) == first
    assert (third.run.replay_of, third.run.first_key) == (again.run.id, "key")
    fresh = retry(again, new_keys=True)
    assert keys(fresh)["b"] == f"replay-{task_of(fresh, 'b').id}"
    assert keys(fresh)["a"] == first["a"]


def test_of_a_for_each_only_the_entries_that_did_not_succeed_start_again():
    each = task("e", forEach=["x", "y", "z"], maxParallel=1, say="${ item }")
    state = begun(each, task("then", needs=["e"], say="${ tasks.e.output }"))
    state = ended(ended(state, "e[0]", output=0), "e[1]", error="no")
    state = retry(ended(state, "e[2]", output=2))
    assert statuses(state) == {"e[0]": "succeeded", "e[1]": "pending", "e[2]": "succeeded"}
    assert task_of(state, "e[1]").input == "y"
    assert task_of(ended(state, "e[1]", output=1), "then").input == [0, 1, 2]


def test_an_input_whose_credentials_are_not_stored_is_rendered_again():
    say = {"headers": {"authorization": "Bearer ${ trigger.payload.key }"}}
    state = ended(begun(task("a"), task("b", say=say), run={"payload": {"key": "k"}}), "a")
    state = ended(state, "b", error="no")
    masked = replace(task_of(state, "b"), input={"headers": {"authorization": "***"}})
    again = retry(with_tasks(state, masked))
    assert statuses(again) == {"a": "succeeded", "b": "pending"}
    assert task_of(again, "b").idempotency_key == masked.id


def test_of_a_group_what_succeeded_is_kept_and_a_group_that_succeeded_is_kept_whole():
    group = {"name": "g", "tasks": [task("x"), task("y", needs=["x"])]}
    state = begun(group, task("z", needs=["g"]))
    state = retry(ended(ended(state, "g.x"), "g.y", error="no"))
    assert statuses(state) == {"g": "running", "g.x": "succeeded", "g.y": "pending"}
    state = ended(state, "g.y")
    state = retry(ended(state, "z", error="no"))
    assert statuses(state) == dict.fromkeys(("g", "g.x", "g.y"), "succeeded") | {"z": "pending"}
    assert ended(state, "z").run.status is RunStatus.SUCCEEDED


def test_what_was_undone_runs_again_with_new_keys():
    paid = task("pay", undo=[task("refund")])
    state = ended(ended(begun(paid, task("ship", needs=["pay"])), "pay"), "ship", error="no")
    undone = ended(state, next(each.name for each in state.tasks if each.phase == "undo"))
    assert undone.run.status is RunStatus.FAILED
    again = retry(undone)
    assert statuses(again) == {"pay": "pending"}
    assert task_of(again, "pay").idempotency_key == f"replay-{task_of(again, 'pay').id}"


def test_a_replay_of_the_same_revision_does_not_ask_the_rules_again_but_sees_the_old_context():
    state = begun(
        task("a", say="${ context.n } ${ state.n } ${ trigger.firingKey }"),
        rules=[{"when": "state.n == 1"}],
        run={"context": {"n": 7}, "state": {"n": 1}},
    )
    state = ended(state, "a", error="no")
    lost = replace(state, tasks=(replace(task_of(state, "a"), input=None),))
    assert task_of(retry(lost), "a").input == "7 1 key"


def test_a_run_that_failed_before_its_tasks_is_retried_like_a_new_one():
    failed = RunState(
        run_of(
            NOW, status=RunStatus.FAILED, reason="rules[0]: x", context={"n": 7}, payload={"p": 1}
        ),
        spec_of(task("a"), rules=[{"when": "state.size() == 0", "otherwise": "has state"}]),
        (),
    )
    retried = ReplayedRun(failed.run, (), ReplayOptions(context=ContextOf.BY_REVISION))
    run = as_replay(run_of(LATER, "retry", state={"now": 1}), failed.spec, retried)
    assert not continues(run, retried)
    assert (run.context, run.state, run.payload, run.key_run) == ({}, {"now": 1}, {"p": 1}, None)
    _, decision = begin(run, failed.spec, LATER, retried)
    assert decision.end is not None
    assert (decision.end.status, decision.end.reason) == (RunStatus.SKIPPED, "has state")


def test_a_replay_of_a_run_that_succeeded_calls_nothing_unless_asked():
    done = ended(ended(ended(begun(*THREE), "a", output="one"), "b"), "c", output="three")
    state = replay(done)
    assert (state.run.status, state.run.replay_of) == (RunStatus.SUCCEEDED, done.run.id)
    assert {each.attempts for each in state.tasks} == {1}
    assert keys(state) == {each.name: each.id for each in done.tasks}


def test_a_replay_from_a_task_runs_it_and_what_comes_after_it_with_keys_that_say_so():
    side = (*THREE, task("side"))
    done = begun(*side, onSuccess=[task("tell")])
    for name, output in (("a", "one"), ("b", "two"), ("side", None), ("c", None), ("tell", None)):
        done = ended(done, name, output=output)
    state = replay(done, from_tasks=("b",))
    assert statuses(state) == {"a": "succeeded", "side": "succeeded", "b": "pending"}
    state = ended(ended(state, "b"), "c")
    assert statuses(state)["tell"] == "pending"
    assert keys(state)["a"] == task_of(done, "a").id
    for name in ("b", "c", "tell"):
        assert keys(state)[name] == f"replay-{task_of(state, name).id}"
    failed = ended(state, "tell", error="no")
    again = retry(failed)
    assert keys(again)["tell"] == keys(state)["tell"], "a retry of the replay is the same call"
    assert statuses(replay(done, from_tasks=("tell",))) == {
        **dict.fromkeys("abc", "succeeded"),
        "side": "succeeded",
        "tell": "pending",
    }


def test_with_all_tasks_nothing_is_kept_and_every_key_is_fresh():
    state = replay(failed_at_b(), all_tasks=True)
    assert statuses(state) == {"a": "pending"}
    assert keys(state)["a"] == f"replay-{task_of(state, 'a').id}"


def test_the_stored_context_is_seen_again_even_with_a_new_revision_and_live_context_is_not():
    before = replace(failed_at_b(), run=replace(failed_at_b().run, context={"n": 7}))
    spec = spec_of(task("a"), task("b", needs=["a"], say="${ context.n }"))
    assert task_of(replay(before, spec), "b").input == 7
    live = ReplayOptions(context=ContextOf.LIVE)
    run = as_replay(run_of(LATER, "k"), spec, ReplayedRun(before.run, before.tasks, live))
    assert run.context == {}
    assert not continues(run, ReplayedRun(before.run, before.tasks, live))


def test_a_skipped_run_is_judged_by_what_it_saw_and_a_missed_one_by_what_is_now():
    spec = spec_of(task("a"), rules=[{"when": "context.n + state.n > 10"}])
    old = run_of(NOW, status=RunStatus.SKIPPED, context={"n": 7}, state={"n": 1})
    run = as_replay(run_of(LATER, "k", state={"n": 9}), spec, ReplayedRun(old, ()))
    assert (run.context, run.state) == ({"n": 7}, {"n": 1})
    missed = replace(old, status=RunStatus.MISSED, context={}, state={})
    run = as_replay(run_of(LATER, "k", state={"n": 9}), spec, ReplayedRun(missed, ()))
    assert (run.context, run.state) == ({}, {"n": 9})


def test_with_a_new_revision_what_succeeded_is_kept_by_name_and_the_rest_is_rendered():
    spec = spec_of(
        task("a", say="changed"),
        task("new"),
        task("b", needs=["a", "new"], say="mended"),
        task("d", needs=["b"]),
    )
    state = retry(failed_at_b(), spec)
    assert statuses(state) == {"a": "succeeded", "new": "pending"}
    state = ended(state, "new")
    assert task_of(state, "b").input == "mended"
    state = ended(ended(state, "b"), "d")
    assert (state.run.status, statuses(state)["d"]) == (RunStatus.SUCCEEDED, "succeeded")


def test_a_task_of_on_success_that_failed_is_retried_without_the_main_tasks():
    after = [task("tell"), task("log")]
    state = ended(begun(task("a"), onSuccess=after), "a", output="one")
    state = ended(ended(state, "log"), "tell", error="no mail")
    assert state.run.reason == "onSuccess task tell failed: no mail"
    again = retry(state)
    assert statuses(again) == {"a": "succeeded", "tell": "pending", "log": "succeeded"}
    assert ended(again, "tell").run.status is RunStatus.SUCCEEDED


@pytest.mark.parametrize("same", [True, False])
def test_what_a_new_revision_changes_is_said(same: bool):  # noqa: FBT001  # a parameter
    before = Revision(RevisionId("1"), "orders", 3, {"tasks": [*THREE]}, NOW)
    after = replace(
        before,
        number=3 if same else 5,
        spec={"tasks": [task("a", say="x"), task("b", needs=["a"]), task("new")]},
    )
    lines = compare_revisions(before, after).lines
    if same:
        assert lines == ["orders: revision 3 is still the present one"]
    else:
        assert lines == [
            "orders: revision 3 → 5, params as they are now",
            "  changed: a; where it had succeeded, its old output is kept",
            "  new: new; it runs",
            "  removed: c; it does not run again",
        ]
