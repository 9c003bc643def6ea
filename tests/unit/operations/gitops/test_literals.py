"""`validate` finds every literal that could never work, and every value that does not fit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from activityctl import wiring
from activityctl.adapters.manifests.manifests import YamlManifests
from activityctl.operations.gitops.load import check_files

KINDS = wiring.known_kinds()
PARAMS = {
    "type": "object",
    "properties": {
        "count": {"type": "integer"},
        "name": {"type": "string"},
        "flag": {"type": "boolean"},
        "list": {"type": "array"},
        "map": {"type": "object"},
        "maybe": {"type": ["object", "string"]},
    },
}


def problems_of(folder: Path, text: str) -> list[str]:
    """Return the problems that `validate` finds in a file, without the name of the file."""
    file = folder / "it.yaml"
    file.write_text(text, "utf-8")
    checked = check_files(YamlManifests(), [str(file)], KINDS, recursive=False)
    return [str(problem).removeprefix(f"{file}:") for problem in checked.problems]


def definition(task: dict[str, Any], **spec: Any) -> str:
    whole = {
        "apiVersion": "activityctl/v1",
        "kind": "ActivityDefinition",
        "metadata": {"name": "it"},
        "spec": {"params": PARAMS, "tasks": [{"name": "one", **task}], **spec},
    }
    return yaml.safe_dump(whole, sort_keys=False)


def http(**fields: Any) -> dict[str, Any]:
    return {"http": {"url": "https://x.example", **fields}}


def command(**fields: Any) -> dict[str, Any]:
    return {"command": {"argv": ["x"], **fields}}


def emit(**fields: Any) -> dict[str, Any]:
    return {"emit": {"type": "t", **fields}}


def on_cron(**fields: Any) -> dict[str, Any]:
    return {"triggers": [{"name": "t", "cron": {"schedule": "@daily", **fields}}]}


def on_interval(**fields: Any) -> dict[str, Any]:
    return {"triggers": [{"name": "t", "interval": {"every": "1h", **fields}}]}


def on_event(**fields: Any) -> dict[str, Any]:
    return {"triggers": [{"name": "t", "event": {"type": "a", **fields}}]}


NEVER: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    (http(url=""), {}, "tasks[0].http.url", "should not be empty"),
    (http(url="ftp://x.example"), {}, "tasks[0].http.url", "the scheme 'ftp' is not allowed"),
    (http(url="x.example/a"), {}, "tasks[0].http.url", "the URL has no scheme"),
    (http(url="https://"), {}, "tasks[0].http.url", "the URL has no host"),
    (http(url="https://a b"), {}, "tasks[0].http.url", "is not the name of a host"),
    (http(url="https://x.example:99999"), {}, "tasks[0].http.url", "port 99999"),
    (http(url="https://a:b@x.example"), {}, "tasks[0].http.url", "a user or password"),
    (http(headers={"Accept": "a", "accept": "b"}), {}, "tasks[0].http.headers", "same header"),
    (http(headers={"X": "a "}), {}, "tasks[0].http.headers.X", "begin or end with a space"),
    (http(headers={"Host": "a"}), {}, "tasks[0].http.headers.Host", "activityctl sets"),
    (http(headers={"X": None}), {}, "tasks[0].http.headers.X", "null is not a text"),
    (http(headers={"X": {"a": 1}}), {}, "tasks[0].http.headers.X", "not a map"),
    (http(query={"a": [None]}), {}, "tasks[0].http.query.a[0]", "null is not a text"),
    (http(query={"a": "x" * 70_000}), {}, "tasks[0].http", "URL too long"),
    (http(body=[1]), {}, "tasks[0].http.body", "not a list"),
    (http(expect=[100]), {}, "tasks[0].http.expect[0]", "never the status"),
    (http(expect="1xx"), {}, "tasks[0].http.expect[0]", "never the status"),
    (http(method="get"), {}, "tasks[0].http.method", "GET"),
    (command(successCodes=[256]), {}, "tasks[0].command.successCodes[0]", "never an exit code"),
    (command(argv=[""]), {}, "tasks[0].command.argv", "should be a program"),
    (command(argv=["x", {"a": 1}]), {}, "tasks[0].command.argv[1]", "not a map"),
    (command(argv=["x", None]), {}, "tasks[0].command.argv[1]", "null is not a text"),
    (command(cwd="sub"), {}, "tasks[0].command.cwd", "an absolute path"),
    (command(cwd="~"), {}, "tasks[0].command.cwd", "an absolute path"),
    (command(cwd=""), {}, "tasks[0].command.cwd", "at least 1 character"),
    (command(stdin={"a": 1}), {}, "tasks[0].command.stdin", "not a map"),
    (command(env={"A=B": "x"}), {}, "tasks[0].command.env.A=B", "not a valid name"),
    (command(env={"A": [1]}), {}, "tasks[0].command.env.A", "not a list"),
    (emit(type=""), {}, "tasks[0].emit.type", "is empty"),
    (emit(type="x" * 1025), {}, "tasks[0].emit.type", "longer than 1,024 bytes"),
    (emit(id=""), {}, "tasks[0].emit.id", "is empty"),
    (emit(source="a\tb"), {}, "tasks[0].emit.source", "U+0009"),
    (emit(subject=""), {}, "tasks[0].emit.subject", "is empty"),
    (emit(extensions={"my-name": "x"}), {}, "tasks[0].emit.extensions.my-name", "a-z and 0-9"),
    (emit(extensions={"a": 1.5}), {}, "tasks[0].emit.extensions", "a is a number"),
    (emit(extensions={"a": 2**31}), {}, "tasks[0].emit.extensions", "32 bits"),
    (emit(extensions={"id": "x"}), {}, "tasks[0].emit.extensions.id", "write the field id"),
    (emit(extensions={"specversion": "2"}), {}, "tasks[0].emit.extensions", "only supported"),
    (emit(extensions={"data_base64": "#"}), {}, "tasks[0].emit.extensions", "not base64"),
    (emit(extensions={"time": "now"}), {}, "tasks[0].emit.extensions", "RFC 3339"),
    (
        command() | {"timeout": {"startToClose": "0s"}},
        {},
        "tasks[0].timeout.startToClose",
        "longer than 0s",
    ),
    (
        command() | {"timeout": {"scheduleToStart": "0s"}},
        {},
        "tasks[0].timeout.scheduleToStart",
        "longer than 0s",
    ),
    (command() | {"retry": {"retryable": {}}}, {}, "tasks[0].retry.retryable", "at least one of"),
    (
        command() | {"retry": {"retryable": {"status": 700}}},
        {},
        "tasks[0].retry.retryable.status[0]",
        "404",
    ),
    (
        command() | {"retry": {"nonRetryable": {"when": "x"}}},
        {},
        "tasks[0].retry.nonRetryable.when",
        "unknown name",
    ),
    (
        command() | {"retry": {"retryable": {"when": "error.x"}}},
        {},
        "tasks[0].retry.retryable.when",
        "has no `x`",
    ),
    (command() | {"timeout": {"heartbeat": "10m"}}, {}, "tasks[0].timeout", "at most 10m"),
    (command(), {"timeout": "0s"}, "timeout", "longer than 0s"),
    (command(), {"throttle": {"limit": 1, "per": "0s"}}, "throttle.per", "longer than 0s"),
    (
        command(),
        {"context": [{"name": "a", "runs": {"status": "running"}}]},
        "context[0].runs.status",
        "has not ended",
    ),
    (command(), on_cron(exclude={}), "triggers[0].cron.exclude", "names no day"),
    (command(), on_cron(schedule="0 0 31 2 *"), "triggers[0].cron.schedule", "never fires"),
    (command(), on_cron(timezone="Mars/Base"), "triggers[0].cron.timezone", "unknown time zone"),
    (command(), on_cron(maxFirings=0), "triggers[0].cron.maxFirings", "greater than"),
    (command(), on_interval(every="0s"), "triggers[0].interval.every", "too short"),
    (command(), on_interval(offset="2h"), "triggers[0].interval.offset", "not shorter"),
    (command(), on_interval(exclude={"timezone": "UTC"}), "triggers[0].interval.exclude", "no day"),
    (command(), on_event(type=""), "triggers[0].event.type[0]", "1 to 1024 characters"),
    (
        command(),
        {"params": {"type": "object", "properties": {"v": {"type": "string", "default": 3.5}}}},
        "params.properties.v.default",
        "put the value in quotes",
    ),
    (
        command(),
        {"params": {"type": "object", "properties": {"v": {"type": "integer", "enum": ["1"]}}}},
        "params.properties.v.enum[0]",
        "is not of type 'integer'",
    ),
]


@pytest.mark.parametrize(
    ("task", "spec", "path", "reason"), NEVER, ids=lambda value: str(value)[:40]
)
def test_a_literal_that_can_never_work_is_refused_at_its_place(
    tmp_path: Path, task: dict[str, Any], spec: dict[str, Any], path: str, reason: str
):
    found = problems_of(tmp_path, definition(task, **spec))
    assert len(found) == (2 if "a:b@" in str(task) else 1), "a secret has a finding of its own"
    assert f" spec.{path}: " in found[0]
    assert reason in found[0]


def test_every_fault_of_the_headers_is_found_in_one_round(tmp_path: Path):
    headers = {"Accept": "a", "accept": "b", "${ params.name }": "x", "Host": "y", "c": " z"}
    found = problems_of(tmp_path, definition(http(headers=headers)))
    reasons = "cannot contain ${", "valid name", "activityctl sets", "with a space", "same header"
    assert len(found) == len(reasons)
    for reason in reasons:
        assert any(reason in problem for problem in found), reason


TEXTS = """\
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata:
  name: it
  labels: {version: 3.10, tier: 1, on-call: true}
spec:
  description: 1e3
  tasks:
    - name: one
      command:
        argv: [pip, 3.10, 3.1, 8080, true, "3.10"]
        env: {VERSION: 1e3, SHARE: 0.5, ZERO: -0}
    - name: two
      forEach: [3.9, 3.10]
      http:
        url: https://x.example
        headers: {X-Version: 1.0e5}
        query: {v: [1.50, 2], w: 1.0}
        json: {price: 1.50}
        body: 2.00
  state: {price: 1.50}
"""
CHANGED = [
    ("5:21", "metadata.labels.version", "3.10", "3.1"),
    ("7:16", "spec.description", "1e3", "1000.0"),
    ("11:21", "spec.tasks[0].command.argv[1]", "3.10", "3.1"),
    ("12:24", "spec.tasks[0].command.env.VERSION", "1e3", "1000.0"),
    ("12:47", "spec.tasks[0].command.env.ZERO", "-0", "0"),
    ("14:22", "spec.tasks[1].forEach[1]", "3.10", "3.1"),
    ("17:30", "spec.tasks[1].http.headers.X-Version", "1.0e5", "100000.0"),
    ("18:21", "spec.tasks[1].http.query.v[0]", "1.50", "1.5"),
    ("20:15", "spec.tasks[1].http.body", "2.00", "2.0"),
]


def test_a_number_that_text_would_change_is_refused_with_the_way_to_write_it(tmp_path: Path):
    text = TEXTS.replace("        json: {price: 1.50}\n", "        # no json beside body\n")
    assert problems_of(tmp_path, text) == [
        f'{place}: {path}: {written} would become {number}; write "{written}" to keep the text, '
        f"or {number}"
        for place, path, written, number in CHANGED
    ]


def test_another_problem_of_the_document_hides_no_number_that_text_would_change(tmp_path: Path):
    late = {**command(argv=["x", "VERSION"]), "timeout": {"startToClose": "0s"}}
    found = problems_of(tmp_path, definition(late).replace("VERSION", "3.10"))
    assert [problem.split(": ", 2)[1:] for problem in found] == [
        [
            "spec.tasks[0].command.argv[1]",
            '3.10 would become 3.1; write "3.10" to keep the text, or 3.1',
        ],
        ["spec.tasks[0].timeout.startToClose", "should be longer than 0s"],
    ]


def test_a_number_stays_a_number_where_json_is_wanted(tmp_path: Path):
    task = {"http": {"url": "https://x.example", "json": {"price": 1}}}
    text = definition(task).replace("price: 1", "price: 1.50")
    assert "1.50" in text
    assert problems_of(tmp_path, text) == []


class CountedKinds(dict[str, Any]):
    """Counts how often all kinds are read, which each making of the schema does."""

    reads = 0

    def items(self) -> Any:
        self.reads += 1
        return super().items()


def test_the_schema_is_made_once_for_any_number_of_objects_with_such_numbers(tmp_path: Path):
    subscription = (
        "---\napiVersion: activityctl/v1\nkind: Subscription\nmetadata: {name: sub-%d}\n"
        "spec: {activity: it, params: {amount: 3.10}}\n"
    )
    reads = []
    for count in (1, 9):
        tasks = CountedKinds(KINDS.tasks)
        many = "".join(subscription % number for number in range(count))
        file = tmp_path / f"{count}.yaml"
        file.write_text(definition(command(argv=["true"])) + many)
        check_files(YamlManifests(), [str(file)], replace(KINDS, tasks=tasks), recursive=False)
        reads.append(tasks.reads)
    assert reads[0] == reads[1]


def test_a_param_of_type_string_says_to_quote_a_number(tmp_path: Path):
    subscription = """---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: it}
spec: {activity: it, params: {name: 3.10}}
"""
    found = problems_of(tmp_path, definition(command()) + subscription)
    (problem,) = found
    assert "spec.params.name: 3.1 is not of type 'string'; put the value in quotes" in problem


WHOLE: list[tuple[dict[str, Any], str | None]] = [
    (command(argv=["x", "${ params.map }"]), "a map, not a text"),
    (command(argv=["x", "${ params.list }"]), "a list, not a text"),
    (command(argv=["x", "${ params.maybe }"]), None),
    (command(argv=["x", "${ params.count }", "${ params.flag }", "${ now }"]), None),
    (command(argv=["x", "${ null }"]), "null, not a text"),
    (command(argv=["x", "a ${ params.map } b"]), None),
    (command(argv="${ params.name }"), "a string, not a list"),
    (command(stdin="${ params.map }"), "a map, not a text"),
    (command(stdin="${ params.count > 1 ? null : null }"), None),
    (command(env={"A": "${ {'a': 1} }"}), "a map, not a text"),
    (command(env="${ params.count }"), "a number, not a map"),
    (command(cwd="${ [1] }"), "a list, not a text"),
    (command(successCodes=["${ 'one' }"]), "a string, not a number"),
    (command(parse="${ 1 }"), "a number, not a"),
    (http(body="${ params.map }"), "a map, not a text"),
    (http(headers={"A": "${ params.list }"}), "a list, not a text"),
    (http(headers={"A": "${ params.count }"}), None),
    (http(query={"a": "${ params.map }"}), "a map, not a"),
    (http(query={"a": "${ params.list }"}), None),
    (http(json="${ params.map }"), None),
    (http(method="${ params.flag }"), "true or false, not a"),
    (emit(type="${ params.map }"), "a map, not a text"),
    (emit(subject="${ params.map }"), "a map, not a text"),
    (emit(id="${ params.count }"), None),
    (emit(data="${ params.map }"), None),
]


@pytest.mark.parametrize(("task", "reason"), WHOLE, ids=lambda value: str(value)[:60])
def test_a_whole_expression_is_held_against_its_field(
    tmp_path: Path, task: dict[str, Any], reason: str | None
):
    found = problems_of(tmp_path, definition(task))
    if reason is None:
        assert found == []
    else:
        assert len(found) == 1, found
        assert f"the result is {reason}" in found[0]
