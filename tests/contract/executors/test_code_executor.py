"""The `code` executor: values, prints, errors, and what ends code that does not end by itself."""

import asyncio
from collections.abc import Iterator

import psutil
import pytest
from pydantic import ValidationError

from activityctl.domain.values.model import WRITTEN
from activityctl.errors import TaskError
from activityctl.executors.code import CodeBody, CodeExecutor
from activityctl.steps.limited import parse_body
from support.code import failing, run
from support.commands import a_call, nothing_left_behind

LANGUAGES = ("python", "javascript")
SMALL = {"cpu": "1s", "memory": "32MiB"}


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    with nothing_left_behind():
        yield


async def test_python_computes_with_its_inputs():
    source = "total = sum(o['amount'] for o in orders)\nprint('total', total)\n{'total': total}"
    output = await run(python=source, inputs={"orders": [{"amount": 2}, {"amount": 3.5}]})
    assert output["value"] == {"total": 5.5}
    assert (output["stdout"], output["stdoutBytes"]) == ("total 5.5\n", 10)
    assert output["durationMs"] > 0
    assert output["cpuMs"] > 0
    assert set(output) == {"value", "stdout", "stdoutBytes", "cpuMs", "durationMs"}


async def test_javascript_computes_with_its_inputs():
    source = """
    console.log("found", orders.length, {first: orders[0]});
    const ids = orders.map(order => `${order.id}!`);
    ({ids, wide: 2n ** 70n, of: inputs["for"]})
    """
    output = await run(javascript=source, inputs={"orders": [{"id": "ä"}], "for": 1})
    assert output["value"] == {"ids": ["ä!"], "wide": str(2**70), "of": 1}
    assert output["stdout"] == 'found 1 {"first":{"id":"ä"}}\n'


@pytest.mark.parametrize(
    ("language", "source", "value"),
    [
        ("python", "x = 1", None),
        ("python", "inputs['class']", 7),
        ("python", "import datetime\n[datetime.date(2026, 5, 1), (1, 2), {3}]", None),
        ("python", "2 ** 70", str(2**70)),
        ("javascript", "undefined", None),
        ("javascript", "inputs.class", 7),
        ("javascript", "Promise.resolve({later: true})", {"later": True}),
        ("javascript", "new Date(0)", "1970-01-01T00:00:00.000Z"),
        ("javascript", "globalThis.JSON = null; String.prototype.x = 1; [1]", [1]),
    ],
)
async def test_values_become_json(language: str, source: str, value: object):
    output = await run(**{language: source}, inputs={"class": 7})
    expected = ["2026-05-01", [1, 2], [3]] if "datetime" in source else value
    assert output["value"] == expected


@pytest.mark.parametrize(
    ("language", "source", "code", "message"),
    [
        ("python", "x = 1\nraise ValueError('no')", "code_error", "line 2: ValueError: no"),
        ("javascript", "\nthrow new Error('no')", "code_error", "line 2: Error: no"),
        ("javascript", "Promise.reject(new Error('later'))", "code_error", "later"),
        ("python", "x = =", "code_error", "SyntaxError"),
        ("javascript", "let x = ;", "code_error", "SyntaxError"),
        ("python", "print", "bad_output", "not JSON"),
        ("python", "float('nan')", "bad_output", "not JSON"),
        ("javascript", "'\\u0000'", "bad_output", "NUL"),
        ("python", "'x' * 50_000_000", "memory_limit", "needs more than 32MiB of memory"),
        ("python", "'x' * 5_000_000", "bad_output", "more than 1,048,576 bytes"),
        ("javascript", "'x'.repeat(5_000_000)", "bad_output", "more than 1,048,576 bytes"),
        ("python", "def f(): return f() + 1\nf()", "code_error", "RecursionError"),
        ("javascript", "function f() { return f() + 1 } f()", "code_error", "call stack"),
        ("python", "a = []\nwhile True: a.append('x' * 9999)", "memory_limit", "32MiB"),
        ("javascript", "const a = []; for (;;) a.push(Array(9999).fill(1))", "memory_limit", "32"),
        ("javascript", "const a = []; for (;;) a.push(new Uint8Array(1e7).fill(1))", "", ""),
        ("python", "while True: pass", "cpu_limit", "used more than 1s of CPU time"),
        ("javascript", "for (;;) {}", "cpu_limit", "used more than 1s of CPU time"),
        ("javascript", "/(a+)+$/.test('a'.repeat(40) + 'b')", "cpu_limit", "1s of CPU"),
        ("javascript", "({toJSON() { for (;;) {} }})", "cpu_limit|crashed", ""),
    ],
)
async def test_code_that_fails_ends_within_its_limits(
    language: str, source: str, code: str, message: str
):
    error = await failing(**{language: source}, limits=SMALL)
    assert error.task_code in code.split("|") or not code
    assert message in str(error)
    assert not error.may_retry
    assert error.output["value"] is None


async def test_a_traceback_is_part_of_the_output():
    error = await failing(python="def f(x):\n    return 1 / x\nprint('before')\nf(0)")
    assert error.output["stdout"] == "before\n"
    assert "line 2, in f" in error.output["traceback"]
    error = await failing(javascript="function f() {\n null.x }\nf()")
    assert "at f (code.js:2:" in error.output["traceback"]
    assert "anonymous" not in error.output["traceback"]


@pytest.mark.parametrize(
    ("language", "source"),
    [
        ("python", "print('begun')\nimport time\ntime.sleep(60)"),
        ("javascript", "console.log('begun'); new Promise(() => {})"),
    ],
)
async def test_code_that_waits_ends_with_the_attempt(language: str, source: str):
    error = await failing(**{language: source}, seconds=5)  # a busy machine begins late
    assert error.task_code in {"timeout", "cpu_limit"}
    assert error.output["stdout"] == "begun\n"


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_cancelled_attempt_leaves_no_process(language: str):
    executor = CodeExecutor()
    loop = {"python": "while True: pass", "javascript": "for (;;) {}"}[language]
    body = CodeBody.model_validate({language: loop, "limits": {"cpu": "1m"}})
    before = set(psutil.Process().children(recursive=True))
    attempt = asyncio.ensure_future(executor.execute(body, a_call(60.0)))
    while len(set(psutil.Process().children(recursive=True)) - before) < 2:
        await asyncio.sleep(0.05)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    await executor.close()


async def test_printed_text_is_bounded():
    output = await run(python="for n in range(20_000): print('x' * 100)")
    assert output["stdoutBytes"] == 2_020_000
    assert len(output["stdout"]) < 66_000
    output = await run(javascript="for (let n = 0; n < 20_000; n++) console.log('x'.repeat(100))")
    assert output["stdoutBytes"] > 1_000_000
    assert len(output["stdout"]) < 66_000


async def test_a_crash_of_the_interpreter_fails_only_its_task(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("activityctl.executors.code._CHILD", "/nowhere/child.py")
    error = await failing(python="1")
    assert (error.task_code, error.may_retry) == ("crashed", True)


async def test_a_missing_library_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(
        __import__("activityctl.executors.code").executors.code._MODULES,
        "javascript",
        "not_there_at_all",
    )
    __import__("activityctl.executors.code").executors.code._library_path.cache_clear()
    error = await failing(javascript="1")
    assert (error.task_code, error.may_retry) == ("not_installed", False)
    assert "install activityctl[code] on the worker" in str(error)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "exactly one"),
        ({"python": "1", "javascript": "1"}, "exactly one"),
        ({"python": ""}, "python"),
        ({"python": "1", "limits": {"memory": 128}}, "limits.memory"),
        ({"python": "1", "limits": {"memory": "1KiB"}}, "limits.memory"),
        ({"python": "1", "limits": {"cpu": "0s"}}, "limits.cpu"),
        ({"python": "1", "inputs": []}, "inputs"),
    ],
)
async def test_a_bad_body_is_bad_input(body: dict[str, object], where: str):
    with pytest.raises(ValidationError):
        CodeBody.model_validate(body, context=WRITTEN)
    if body.get("limits") != {"cpu": "0s"}:
        executor = CodeExecutor()
        with pytest.raises(TaskError) as caught:
            parse_body(executor, body)
        assert caught.value.task_code == "bad_input"
        assert where in str(caught.value)
