"""Spans of a real run reach a real OTLP receiver; the header of a call is the parent of nobody."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from activityctl.domain.events.envelope import envelope_of
from activityctl.domain.runs.run import RunStatus
from activityctl.settings import Settings, load_settings
from support.engine import NAME, Engine
from support.worker import working

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SPEC = {
    "triggers": [{"name": "order", "event": {"type": "traced.order"}}],
    "tasks": [{"name": "call", "retry": {"maxAttempts": 2, "initialInterval": "10ms"}}],
}


class Receiver:
    """A service that tasks call, and a collector that takes OTLP over HTTP."""

    def __init__(self, *, answers: bool = True) -> None:
        self.spans: dict[str, Any] = {}
        self.headers: list[str] = []
        self.services: set[str] = set()
        self.go_on = threading.Event()
        if answers:
            self.go_on.set()

    def take(self, path: str, content: bytes, header: str) -> int:
        if path != "/v1/traces":
            self.headers.append(header)
            return 503 if len(self.headers) == 1 else 200
        self.go_on.wait(30)
        found = ExportTraceServiceRequest.FromString(content)
        for resource in found.resource_spans:
            facts = {each.key: each.value.string_value for each in resource.resource.attributes}
            self.services.add(facts["service.name"])
            for scope in resource.scope_spans:
                self.spans |= {span.span_id.hex(): span for span in scope.spans}
        return 200


@contextmanager
def listening(receiver: Receiver) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the library's name
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status = receiver.take(self.path, content, self.headers.get("traceparent", ""))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    receiver.go_on.set()
    server.shutdown()
    server.server_close()


def with_call(url: str) -> dict[str, Any]:
    call = {"method": "POST", "url": f"{url}/service"}
    return {**SPEC, "tasks": [{**SPEC["tasks"][0], "http": call}]}


def open_to(settings: Settings) -> Settings:
    return replace(
        settings,
        allow_http=True,
        allowed_networks=(ip_network("127.0.0.0/8"),),
        exports_traces=True,
    )


async def run_by_event(engine: Engine) -> Any:
    event = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "traced.order"}
    await engine.ports.events.add([envelope_of({**event, "traceparent": PARENT})])
    async with asyncio.timeout(60):
        while not (runs := [run for run in await engine.runs() if run.has_ended]):
            await asyncio.sleep(0.05)
    return runs[0]


async def test_a_trace_joins_event_firing_run_attempts_and_calls(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = Receiver()
    with listening(receiver) as url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        assert load_settings(environment={"OTEL_EXPORTER_OTLP_ENDPOINT": url}).exports_traces
        async with working(open_to(settings)):
            await engine.apply(with_call(url))
            run = await run_by_event(engine)
        assert run.status is RunStatus.SUCCEEDED
    assert receiver.services == {"activityctl"}
    spans = {span.name + str(at): span for at, span in enumerate(receiver.spans.values())}
    assert {span.trace_id.hex() for span in spans.values()} == {PARENT[3:35]}
    named: dict[str, list[Any]] = {}
    for span in sorted(spans.values(), key=lambda span: span.start_time_unix_nano):
        named.setdefault(span.name.split(" ")[0], []).append(span)
    (firing,), (of_run,) = named["firing"], named["run"]
    assert firing.parent_span_id.hex() == PARENT[36:52]
    assert of_run.parent_span_id == firing.span_id
    assert of_run.name == f"run {NAME}"
    failed, succeeded = named["task"]
    assert {span.parent_span_id for span in named["task"]} == {of_run.span_id}
    assert (failed.status.message, succeeded.status.message) == ("unexpected_status", "")
    assert [call.parent_span_id for call in named["POST"]] == [failed.span_id, succeeded.span_id]
    sent = [f"00-{call.trace_id.hex()}-{call.span_id.hex()}-01" for call in named["POST"]]
    assert receiver.headers == sent


async def test_a_collector_that_hangs_holds_up_no_run(
    engine: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = Receiver(answers=False)
    with listening(receiver) as url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        async with working(open_to(settings)):
            await engine.apply(with_call(url))
            run = await run_by_event(engine)
            assert (run.status, receiver.spans) == (RunStatus.SUCCEEDED, {})
        assert json.dumps(receiver.headers).count("4bf92f") == 2
