"""Evaluations in other processes: they can be stopped, and the processes end with their parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psutil
import pytest

from activityctl.adapters.evaluator.pool import CPU_SECONDS, EvaluatorPool
from activityctl.adapters.evaluator.process import EvaluatorProcess
from activityctl.domain.cel.evaluator import evaluating_with
from activityctl.domain.cel.expression import evaluate
from activityctl.errors import ExpressionBudgetError, ExpressionError
from support.dear import BLOCKED, CASES, NUMBERS, TAGS

STOPPED = "too much work: "


@pytest.fixture(scope="module")
def pool() -> Iterator[EvaluatorPool]:
    pool = EvaluatorPool()
    yield pool
    pool.close()


def evaluated(pool: EvaluatorPool, source: str, data: Any) -> Any:
    with evaluating_with(pool.session()):
        return evaluate(source, {"event": {"data": data}})


@pytest.mark.parametrize("case", CASES)
def test_what_takes_too_long_is_stopped(pool: EvaluatorPool, case: str) -> None:
    source, data = CASES[case]
    started = time.process_time()
    with pytest.raises(ExpressionBudgetError, match=STOPPED):
        evaluated(pool, source, data)
    assert time.process_time() - started < 2, "the work was done in this process"


def test_what_may_be_much_work_but_is_not_gives_its_value(pool: EvaluatorPool) -> None:
    data = {"tags": [*TAGS[:10], BLOCKED[0]], "blocked": BLOCKED}
    source = "event.data.tags.exists(t, t in event.data.blocked)"
    assert evaluated(pool, source, data) is True
    assert evaluated(pool, source, {**data, "tags": TAGS[:10]}) is False


def test_values_and_errors_are_those_of_an_evaluation_in_place(pool: EvaluatorPool) -> None:
    data = {"numbers": NUMBERS[:900], "text": "ü\N{GRINNING FACE}"}
    source = "event.data.numbers.map(n, {'n': n, 't': event.data.text, 'f': 0.5, 'z': null})"
    plain = evaluate(f"dyn({source})", {"event": {"data": data}})
    assert evaluated(pool, source, data) == plain
    with pytest.raises(ExpressionError, match="no such key: 'absent'"):
        evaluated(pool, "event.data.numbers.map(n, event.data.absent)", data)


def test_an_expression_that_was_stopped_gets_less_time_the_next_time() -> None:
    pool = EvaluatorPool()
    source, data = CASES["list +"]
    for seconds in (CPU_SECONDS, CPU_SECONDS / 2):
        with pytest.raises(ExpressionBudgetError, match=f"stopped after {seconds:g} s"):
            evaluated(pool, source, data)
    pool.close()


def test_a_decision_has_a_limit_for_all_its_evaluations(pool: EvaluatorPool) -> None:
    source, data = CASES["contains"]
    with evaluating_with(pool.session(0.01)):
        with pytest.raises(ExpressionBudgetError, match="stopped after"):
            evaluate(source, {"event": {"data": data}})
        with pytest.raises(ExpressionBudgetError, match="other expressions of this decision"):
            evaluate(source, {"event": {"data": data}})


def test_a_process_that_is_killed_is_replaced(pool: EvaluatorPool) -> None:
    source = "event.data.numbers.map(n, n * 2).size()"
    data = {"numbers": NUMBERS[:900]}
    assert evaluated(pool, source, data) == 900
    for child in psutil.Process().children():
        with suppress(psutil.ZombieProcess):  # of another test, not yet waited for
            if "activityctl.adapters.evaluator.child" in child.cmdline():
                child.send_signal(signal.SIGKILL)
                child.wait(10)
    assert evaluated(pool, source, data) == 900


def test_a_process_that_crashes_each_time_fails_the_expression(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    pool = EvaluatorPool()
    with pytest.raises(ExpressionBudgetError, match="crashed or took too much memory"):
        evaluated(pool, "event.data.numbers.map(n, n * 2)", {"numbers": NUMBERS[:900]})
    pool.close()


ORPHANS = """
import os
from activityctl.adapters.evaluator.pool import EvaluatorPool
pool = EvaluatorPool()
assert pool.ask({"kind": "cel", "source": "1 + 1", "data": {}})["value"] == 2
process = pool._free.get()
print(process._process.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_process_ends_with_its_parent() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ORPHANS], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    for _ in range(100):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return
        except psutil.NoSuchProcess:
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the evaluator is still alive")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no /proc")
def test_the_process_does_not_have_the_secrets_of_its_parent(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOME_TOKEN", "s3cret")
    before = set(psutil.Process().children())
    process = EvaluatorProcess()
    try:
        request = {"kind": "cel", "source": "1 + 1", "data": {}}
        assert process.ask(request, 5.0) == {"value": 2}
        (own,) = set(psutil.Process().children()) - before
        if os.geteuid() == 0:  # others cannot even look
            assert "SOME_TOKEN" not in own.environ()
        else:
            with pytest.raises(psutil.AccessDenied):
                own.environ()
    finally:
        process.kill()
