"""The description of the API is true: schemathesis asks what it allows, and what it does not.

    DRILL_FULL=1 pytest tests/integration/api/test_openapi.py

asks 300 times for each operation and kind of data in place of 2; DRILL_PATHS=logs asks only those
whose method and path have this pattern.
"""

import os
import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from activityctl.api.reference import reference_page
from activityctl.settings import Settings
from support.api_server import Api, running_api

FULL = os.environ.get("DRILL_FULL") == "1"
PARAMETERS = ("name", "run_id", "sub_id", "task_id", "letter_id", "kind", "uid")
TIMES = int(os.environ.get("DRILL_TIMES", "300")) if FULL else 2
ONLY = re.compile(os.environ.get("DRILL_PATHS", ""))
MANIFESTS = """
apiVersion: activityctl/v1
kind: ActivityDefinition
metadata: {name: fuzzed}
spec:
  triggers: [{name: daily, cron: {schedule: "0 3 * * *"}}]
  tasks: [{name: ask, manual: {instructions: look}}]
---
apiVersion: activityctl/v1
kind: Subscription
metadata: {name: fuzzed}
spec: {activity: fuzzed}
---
apiVersion: activityctl/v1
kind: EventSource
metadata: {name: fuzzed}
spec: {verify: {none: {}}}
"""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
]


@schemathesis.serializer("message/http")
def _as_it_is(context: Any, value: Any) -> bytes:
    """Send texts as they are, and other values as their JSON."""
    del context
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@pytest.fixture(scope="module")
def described(
    api_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Api, Any, dict[str, str]]]:
    """A server with some objects, its description, and the ids of these by the parameters."""
    settings = replace(api_settings, home=tmp_path_factory.mktemp("described"))
    with running_api(settings) as api:
        yaml = {"Content-Type": "application/yaml"}
        made = api.client.post("/v1/manifests/apply?wait=0", content=MANIFESTS, headers=yaml)
        assert made.status_code == 200, made.text
        run = api.client.post("/v1/subscriptions/fuzzed/trigger", json={}).json()["id"]
        subscription = api.client.get("/v1/subscriptions/fuzzed").json()["id"]
        known = {"name": "fuzzed", "run_id": run, "sub_id": subscription}
        yield api, api.client.get("/v1/openapi.json").json(), known


def test_every_path_is_described_with_examples(described: tuple[Api, Any, dict[str, str]]):
    _, document, _ = described
    assert document["openapi"].startswith("3.1")
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            place = f"{method} {path}"
            assert operation["summary"], place
            good = [answer for code, answer in operation["responses"].items() if code < "300"]
            assert good, place
            body = operation.get("requestBody", {"content": {}})
            for content in [body["content"], *(answer["content"] for answer in good)]:
                for described_as in content.values():
                    assert {"example", "examples", "description"} & described_as.keys(), place


def test_the_headers_of_the_guide_are_described(described: tuple[Api, Any, dict[str, str]]):
    _, document, _ = described

    def headers(path: str) -> set[str]:
        parameters = document["paths"][path]["get"]["parameters"]
        return {each["name"] for each in parameters if each["in"] == "header"}

    assert headers("/v1/logs") == {"Last-Event-ID"}
    assert headers("/v1/subscriptions/{name}/logs") == {"Last-Event-ID"}
    assert headers("/v1/{kind}/{name}") == {"If-None-Match"}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert "431" in operation["responses"], path
            assert ("429" in operation["responses"]) == (path != "/healthz"), path
            if "304" in operation["responses"]:
                assert "ETag" in operation["responses"]["200"]["headers"], path


def test_the_page_shows_every_path_and_may_load_nothing(described: tuple[Api, Any, dict[str, str]]):
    api, document, _ = described
    page = api.client.get("/docs", headers={"Authorization": ""})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    (style,) = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
    assert f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" in policy
    assert set(re.findall(r'(?:src|href)="([^"#]+)"', page.text)) == {"/v1/openapi.json"}
    assert "<script" not in page.text
    for path, operations in document["paths"].items():
        assert page.text.count(f'<code class="path">{path}</code>') == len(operations)
    hostile = {**document, "paths": {"/<b>": {"get": {"summary": "<i>`x", "responses": {}}}}}
    shown = reference_page(hostile)
    assert "<b>" not in shown.replace("<b>200", "")
    assert "<i>" not in shown


def test_only_paths_without_a_token_answer_without_one(described: tuple[Api, Any, dict[str, str]]):
    api, document, known = described
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            url = path.format(**{name: known.get(name, "x") for name in PARAMETERS})
            answer = api.client.request(method, url, headers={"Authorization": ""})
            assert (answer.status_code == 401) == ("security" in operation), f"{method} {path}"


# The server is in this process, and may use `random` while hypothesis makes data.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
@pytest.mark.timeout(0 if FULL else 600)
def test_schemathesis_finds_nothing(described: tuple[Api, Any, dict[str, str]]):
    api, document, known = described
    session = requests.Session()
    session.trust_env = False
    found: list[str] = []
    for operations in document["paths"].values():  # tokens have tests of their own
        for operation in operations.values():
            operation.pop("security", None)
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = result.ok()
        if not ONLY.search(operation.label):
            continue
        for mode in GenerationMode:
            checks = list(CHECKS)
            if mode is GenerationMode.NEGATIVE:
                checks.append(negative_data_rejection)
            try:
                ask(api, session, operation.as_strategy(generation_mode=mode), known, checks)
            except (hypothesis.errors.Unsatisfiable, hypothesis.errors.InvalidArgument):
                continue  # nothing of such data is wrong, or can be
            except BaseException as error:  # noqa: BLE001  # all findings of a run are shown
                found.append(f"== {operation.label} ({mode.value})\n{told(error)}")
    assert not found, "\n".join(found)


def ask(
    api: Api, session: requests.Session, strategy: Any, known: dict[str, str], checks: list[Any]
) -> None:
    counted = 0

    @hypothesis.settings(
        max_examples=TIMES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=strategy)
    def asked(case: Any) -> None:
        nonlocal counted
        counted += 1
        if counted % 2:  # every second time an object that there is
            for name in set(case.path_parameters) & set(known):
                case.path_parameters[name] = known[name]
        let_wait_for_nothing(case)
        case.headers["Authorization"] = f"Bearer {api.token}"
        response = case.call(base_url=f"http://127.0.0.1:{api.port}", session=session, timeout=60)
        left_out: list[Any] = []
        if response.status_code == 503 and case.path == "/readyz":  # no worker runs here
            left_out.append(not_a_server_error)
        if response.status_code == 504 and "wait" in str(response.request.url):  # it goes on
            left_out.append(not_a_server_error)
        if response.status_code in {207, 413}:  # each event has its outcome; it is refused
            left_out.append(negative_data_rejection)
        if any(value in ([], {}) for value in case.query.values()):  # it is not sent
            left_out.append(negative_data_rejection)
        try:
            case.validate_response(response, checks=checks, excluded_checks=left_out)
        except BaseException as error:
            error.add_note(f"{response.status_code} for {response.request.url}")
            raise

    asked()


def let_wait_for_nothing(case: Any) -> None:
    """Set the times that a request waits to 0 if they are valid; without one, a wait takes 30 s."""
    if case.path.endswith("/wait"):
        case.query.setdefault("timeout", "0")
    for name in {"wait", "timeout"} & set(case.query):
        case.query[name] = "0" if str(case.query[name]).replace(".", "").isdigit() else "x"


def told(error: BaseException) -> str:
    inner = getattr(error, "exceptions", None) or [error]
    notes = getattr(error, "__notes__", [])
    return "\n".join([*(str(one)[:1500] for one in inner), *notes])
