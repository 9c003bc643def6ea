"""`emit`: the result of each event, the exit codes, and where events are found afterwards."""

import json
import os
import shlex
import signal
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from support.waiting import until

LISTENERS = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: %(name)s}
spec:
  params: {type: object, properties: {least: {type: number, default: 10}}}
  triggers:
    - name: large
      event: {type: %(name)s.paid, filter: event.data.amount > params.least}
    - name: odd
      event: {type: %(name)s.odd}
  tasks: [{name: one, command: {shell: exit $CODE, env: {CODE: "${ event.data.code }"}}}]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: %(name)s}
spec: {activity: %(name)s}
"""
MIB = 1024 * 1024
NAMES = iter(range(1_000_000))


def event(sender_id: str, **fields: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": sender_id, "source": "/t", "type": "t", **fields}


def lines(*events: Any) -> str:
    return "".join(
        (event if isinstance(event, str) else json.dumps(event)) + "\n" for event in events
    )


@pytest.fixture
def name(shell) -> str:
    """The name of a subscription with event triggers, for this test alone."""
    name = f"emit{next(NAMES)}"
    (shell.folder / "listeners.yaml").write_text(LISTENERS % {"name": name})
    shell("apply", "-f", "listeners.yaml")
    return name


def emitted(done: subprocess.CompletedProcess[str]) -> list[tuple[str | None, str]]:
    return [(item["id"], item["outcome"]) for item in json.loads(done.stdout)["items"]]


def test_an_event_of_options_starts_a_run(shell, name):
    data = ("--data", '{"amount": 12, "code": 0}')
    by_hand = ("emit", "--type", f"{name}.paid", "--source", "/shop", *data)
    done = shell(*by_hand, "--wait", "-o", "json")
    (item,) = json.loads(done.stdout)["items"]
    assert (item["source"], item["outcome"]) == ("/shop", "accepted")
    assert f"added: id {item['id']}, time" in done.stderr
    (run,) = item["runs"]
    assert (run["subscription"], run["trigger"], run["status"]) == (name, "large", "succeeded")
    found = shell.json("describe", "event", item["id"])
    assert found["event"]["data"] == {"amount": 12, "code": 0}
    assert [verdict["outcome"] for verdict in found["verdicts"]] == ["woken"]
    assert [found_run["id"] for found_run in found["runs"]] == [run["id"]]
    assert shell.json("get", "ev", "-s", name)["items"][0]["id"] == item["id"]
    assert shell.json("get", "events", "--run", run["id"])["items"][0]["uid"] == item["uid"]


def test_a_failed_run_is_reported_and_exit_1(shell, name):
    data = ("--data", '{"amount": 12, "code": 3}')
    done = shell("emit", "--type", f"{name}.odd", *data, "--id", name, "--wait", code=1)
    assert f"{name}/odd failed" in done.stdout
    again = shell("emit", "--type", f"{name}.odd", *data, "--id", name, "--wait", code=1)
    assert "duplicate" in again.stdout
    assert f"{name}/odd failed" in again.stdout


def test_runs_that_do_not_end_in_time_are_exit_8(shell, name):
    command = '{shell: exit $CODE, env: {CODE: "${ event.data.code }"}}'
    assert command in LISTENERS
    slow = LISTENERS.replace(command, "{argv: [sleep, '20']}")
    (shell.folder / "slow.yaml").write_text(slow % {"name": f"{name}-slow"})
    shell("apply", "-f", "slow.yaml")
    done = shell("emit", "--type", f"{name}-slow.odd", "--wait", "--timeout", "1s", code=8)
    assert "accepted" in done.stdout
    (run,) = until(lambda: shell.json("get", "runs", "-s", f"{name}-slow")["items"])
    shell("cancel", run["id"])


def test_an_event_without_a_matching_trigger_is_reported(shell):
    assert "no trigger matches" in shell("emit", "--type", "lonely", "--wait").stdout


def test_a_dry_run_stores_nothing_and_shows_which_triggers_run_and_why_others_do_not(shell, name):
    small = ("emit", "--type", f"{name}.paid", "--id", name, "--data", '{"amount": 12}')
    done = shell(*small, "--dry-run")
    lines = [line.split() for line in done.stdout.splitlines() if f" {name}/" in line]
    assert lines == [["runs", f"{name}/large"]]
    assert "another type or source; -o wide lists them" in done.stdout
    wide = shell(*small, "--dry-run", "-o", "wide").stdout
    assert f"no run  {name}/odd: type is {name}.paid, not {name}.odd" in wide
    assert wide.index(f"{name}/large") < wide.index("no run")
    shell("pause", name)
    (item,) = json.loads(shell(*small, "--dry-run", "-o", "json").stdout)["items"]
    reasons = {
        trigger["trigger"]: trigger["reason"]
        for trigger in item["sleeps"]
        if trigger["subscription"] == name
    }
    assert reasons["large"] == "the subscription is paused"
    shell("get", "event", name, code=4)


@pytest.mark.parametrize("framing", ["lines", "array", "indented", "one"])
def test_every_format_is_read_from_a_file_and_from_stdin(shell, framing):
    start = f"{framing}{next(NAMES)}"
    events = [event(f"{start}-{number}") for number in range(1 if framing == "one" else 30)]
    text = {
        "lines": lines(*events),
        "array": json.dumps(events),
        "indented": "\n".join(json.dumps(item, indent=2) for item in events),
        "one": json.dumps(events[0]),
    }[framing]
    (shell.folder / "events.json").write_text(text)
    done = shell("emit", "events.json", "-o", "json")
    assert emitted(done) == [(item["id"], "accepted") for item in events]
    again = shell("emit", "-", "-o", "jsonl", stdin=text).stdout.splitlines()
    assert [json.loads(line)["outcome"] for line in again] == ["duplicate"] * len(events)


BAD = {
    "NUL": (r'{"specversion":"1.0","id":"b","source":"/t","type":"t","data":"\u0000"}', "NUL"),
    "lone surrogate": (
        r'{"specversion":"1.0","id":"b","source":"/t","type":"t","data":"\ud800"}',
        "lone surrogate",
    ),
    "NaN": ('{"specversion":"1.0","id":"b","source":"/t","type":"t","data":NaN}', "NaN"),
    "duplicate key": (
        '{"specversion":"1.0","id":"b","id":"c","source":"/t","type":"t"}',
        "duplicate",
    ),
    "depth": (lines(event("b"))[:-2] + ',"data":' + "[" * 100_000 + "]" * 100_000 + "}", "64"),
    "digits": (lines(event("b"))[:-2] + ',"data":' + "9" * 5_000 + "}", "4,000 digits"),
    "too large": (lines(event("b", data="x" * MIB)).strip(), "larger than 1,048,576 bytes"),
    "no JSON": ("nonsense", "not valid JSON"),
    "no type": ('{"specversion":"1.0","id":"b","source":"/t"}', "type: is missing"),
    "no object": ('["a"]', "an event is a JSON object"),
}


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.replace(" ", "-"))
def test_a_bad_event_is_refused_with_its_line_and_the_next_is_stored(shell, case):
    text, reason = BAD[case]
    start = f"bad{next(NAMES)}"
    given = lines(event(f"{start}-1"), text, event(f"{start}-2"))
    done = shell("emit", "-", "-o", "json", stdin=given, code=3)
    assert emitted(done) == [
        (f"{start}-1", "accepted"),
        (None, "invalid"),
        (f"{start}-2", "accepted"),
    ]
    error = json.loads(done.stderr)
    assert (error["code"], error["line"]) == ("invalid_event", 2)
    assert reason in error["message"]
    text_done = shell("emit", "-", stdin=given, code=3)
    assert "error: <stdin>:2:" in text_done.stderr
    assert reason in text_done.stderr
    assert "Traceback" not in text_done.stderr


def test_an_event_of_a_mebibyte_is_stored_and_one_byte_more_is_refused(shell):
    start = f"size{next(NAMES)}"

    def sized(sender_id: str, size: int) -> str:
        rest = size - len(json.dumps(event(sender_id, data="")))
        return json.dumps(event(sender_id, data="x" * rest))

    texts = [sized(f"{start}-1", MIB), sized(f"{start}-2", MIB + 1), sized(f"{start}-3", 300)]
    assert [len(text) for text in texts] == [MIB, MIB + 1, 300]
    done = shell("emit", "-", "-o", "json", stdin=lines(*texts), code=3)
    assert [outcome for _, outcome in emitted(done)] == ["accepted", "invalid", "accepted"]
    assert len(shell.json("get", "event", f"{start}-1")["items"][0]["event"]["data"]) > MIB - 200
    (shell.folder / "data.json").write_text(json.dumps("x" * MIB))
    by_hand = ("emit", "--type", "t", "--data", "@data.json")
    assert "larger than 1,048,576 bytes" in shell(*by_hand, code=3).stderr


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ('{"a": NaN}', "--data:1:7: NaN is not JSON"),
        ('{"a": 1, "a": 2}', "duplicate key"),
        (r'"\u0000"', "NUL"),
        ("[" * 64 + "]" * 64, "nested deeper than 63 levels"),
        ("hello", "hint: write a string with quotes"),
        ("@absent", "absent: there is no such file"),
    ],
)
def test_bad_data_of_an_option_is_refused_with_its_position(shell, data, reason):
    done = shell("emit", "--type", "t", "--data", data, code=3)
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("emit",),
        ("emit", "x.json", "--type", "t"),
        ("emit", "--type", "t", "--extension", "nonsense"),
        ("emit", "--type", "t", "--extension", "id=x", "--id", "y"),
        ("emit", "x.json", "-o", "yaml"),
    ],
    ids=" ".join,
)
def test_options_that_cannot_be_combined_are_exit_2(shell, arguments):
    assert "error:" in shell(*arguments, code=2).stderr


def test_a_path_that_is_no_regular_file_is_refused_at_once(shell):
    os.mkfifo(shell.folder / "fifo")
    for path in ("fifo", "absent.json", "/dev/zero", "."):
        assert "hint: give a regular file" in shell("emit", path, code=3, timeout=60).stderr


def test_data_extensions_and_stdin_make_an_event(shell):
    sender_id = f"made{next(NAMES)}"
    options = ("--id", sender_id, "--subject", "s", "--time", "2026-01-01T00:00:00Z")
    extensions = ("--extension", "tenant=eu", "--extension", "region=north=1")
    made = ("emit", "--type", "t", *options, *extensions, "--data", "-")
    done = shell(*made, stdin='{"wide": 36893488147419103232}')
    assert "added: source" in done.stderr
    kept = shell.json("get", "event", sender_id)["items"][0]["event"]
    assert kept == {
        "specversion": "1.0",
        "id": sender_id,
        "source": "/activityctl/emit",
        "type": "t",
        "subject": "s",
        "time": "2026-01-01T00:00:00Z",
        "tenant": "eu",
        "region": "north=1",
        "data": {"wide": "36893488147419103232"},
    }


def test_strict_fills_nothing_in(shell):
    given = lines({"specversion": "1.0", "source": "/t", "type": "t"})
    assert "id: is missing" in shell("emit", "-", "--strict", stdin=given, code=3).stderr
    assert "added: id" in shell("emit", "-", stdin=given).stderr


def test_a_conflict_is_exit_5_and_the_first_is_kept(shell):
    sender_id = f"conflict{next(NAMES)}"
    shell("emit", "-", stdin=lines(event(sender_id, data=1)))
    rest = event(f"{sender_id}-after")
    done = shell("emit", "-", stdin=lines(event(sender_id, data=2), rest), code=5)
    problem = f"an event with id {sender_id} and source /t is already stored with other content"
    assert f"error: <stdin>:1:1: {problem}" in done.stderr
    assert f"accepted   {sender_id}-after" in done.stdout
    assert shell.json("get", "event", sender_id)["items"][0]["event"]["data"] == 1


def test_for_many_events_a_summary_is_printed_and_refused_events_are_listed(shell):
    start = f"many{next(NAMES)}"
    timed = {"time": "2026-01-01T00:00:00Z"}
    events = [event(f"{start}-{number}", **timed) for number in range(2_500)]
    other = event(f"{start}-3", data=1, **timed)
    given = lines(*events[:1_700], "nonsense", *events[1_700:], other)
    done = shell("emit", "-", stdin=given, code=3)
    assert done.stdout == "2,502 events: 2,500 accepted, 1 in conflict, 1 invalid\n"
    assert [line.partition(": ")[2][:15] for line in done.stderr.splitlines()] == [
        "<stdin>:1701:1:",
        "<stdin>:2502:1:",
    ]
    listed = shell.json("get", "events", "--source", "/t", "--limit", "3")["items"]
    assert [item["id"] for item in listed] == [f"{start}-{number}" for number in (2499, 2498, 2497)]


def test_twenty_processes_with_the_same_thousand_events_store_each_once(shell):
    start = f"race{next(NAMES)}"
    (shell.folder / "same.jsonl").write_text(
        lines(*(event(f"{start}-{number}") for number in range(50)), *[event(start)] * 50)
    )
    outcomes: Counter[str] = Counter()
    with ThreadPoolExecutor(20) as at_once:
        for answer in at_once.map(lambda _: shell.json("emit", "same.jsonl"), range(20)):
            outcomes.update(answer["summary"])
    assert outcomes == {"accepted": 51, "duplicate": 20 * 100 - 51, "conflict": 0, "invalid": 0}


def test_a_slow_input_is_stored_as_it_comes(shell):
    process = subprocess.Popen(
        [*shell.command("emit", "-", "-o", "jsonl")],
        env=shell.environment,
        cwd=shell.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for _ in range(2):
        process.stdin.write(lines(event(f"slow{next(NAMES)}")))
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["outcome"] == "accepted"
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    process.stdin.close()
    process.stdout.close()


def test_all_events_are_stored_even_if_the_report_is_not_read(shell):
    start = f"pipe{next(NAMES)}"
    given = lines(*(event(f"{start}-{number}") for number in range(5_000)))
    (shell.folder / "events.jsonl").write_text(given)
    command = shlex.join(shell.command("emit", "events.jsonl", "-o", "jsonl"))
    done = subprocess.run(
        ["bash", "-c", f"{command} | head -n 1; exit ${{PIPESTATUS[0]}}"],
        env=shell.environment,
        cwd=shell.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout.count("accepted")) == (0, 1), done.stderr
    shell("get", "event", f"{start}-4999")


@pytest.mark.parametrize("shape", ["jsonl", "text"])
def test_all_events_are_stored_even_if_the_errors_are_not_read(shell, shape):
    start = f"pipe{next(NAMES)}"
    refused = "{}"
    given = lines(*(line for n in range(1_500) for line in (event(f"{start}-{n}"), refused)))
    command = shlex.join(shell.command("emit", "-", "--strict", "-o", shape))
    done = subprocess.run(
        ["bash", "-c", f"{command} 2>&1 | true; exit ${{PIPESTATUS[0]}}"],
        env=shell.environment,
        cwd=shell.folder,
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == (3 if shape == "jsonl" else 141), done.stderr
    shell("get", "event", f"{start}-0")
    shell("get", "event", f"{start}-1499")


def test_an_empty_input_is_not_an_error(shell):
    done = shell("emit", "-", stdin="\n")
    assert (done.stdout, "contains no event" in done.stderr) == ("", True)
    assert json.loads(shell("emit", "-", "-o", "json", stdin="[]").stdout)["items"] == []


def test_without_a_daemon_the_hint_is_how_to_start_it(stranger):
    done = stranger("emit", "--type", "t", code=7)
    assert "hint: activityctl up -d\n" in done.stderr
