"""The description of the API: OpenAPI 3.1 with security, problems, schemas and examples."""

from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from activityctl.api.examples import EXAMPLES
from activityctl.api.problems import CONTENT_TYPE, TYPE
from activityctl.domain.values.json_form import API_VERSION
from activityctl.operations.looking.kinds import KINDS

_STREAM: Final = "text/event-stream"
_LOGS: Final = ("/v1/logs", "/v1/subscriptions/{name}/logs", "/v1/runs/{run_id}/logs")
_LOG_READERS: Final = tuple(f"GET {path}" for path in _LOGS)
_TAGGED: Final = (
    *("GET /v1/{kind}", "GET /v1/{kind}/{name}", "GET /v1/export", "GET /v1/schema"),
    *("GET /v1/{kind}/{name}/history", "GET /v1/deadletters/{letter_id}/details"),
)
_GUARDED: Final = frozenset(
    {
        "POST /v1/manifests/apply",
        "DELETE /v1/{kind}/{name}",
        "POST /v1/{kind}/{name}/rollback",
        "POST /v1/subscriptions/{name}/pause",
        "POST /v1/subscriptions/{name}/resume",
    }
)


def _header(name: str, description: str, example: str) -> dict[str, Any]:
    """Return the description of a header that a request may have."""
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string", "examples": [example]},
    }


_TAG: Final = '"0e1f2a3b4c5d6e7f8a9b0c1d2e3f4a5b"'
_IF_MATCH: Final = _header(
    "If-Match", "The `ETag` of the object, or of a plan: 412 if it has changed since.", _TAG
)
_IF_NONE_MATCH: Final = _header(
    "If-None-Match", "The `ETag` of an answer: 304 while nothing has changed since.", _TAG
)
_LAST_EVENT_ID: Final = _header(
    "Last-Event-ID", "Of a stream: the `id` of the last event; it goes on after it.", "1438-1"
)
_ETAG: Final[dict[str, Any]] = {
    "ETag": {"description": "Stands for this answer.", "schema": {"type": "string"}}
}
_ANY_TYPE: Final = frozenset({"POST /v1/sources/{name}"})
"""What answers with a text or JSON that the operator has written."""
_PARTLY: Final = frozenset(
    {
        "GET /v1/{kind}/{name}",
        "GET /v1/{kind}",
        "GET /v1/export",
        "GET /v1/{kind}/{name}/history",
        "POST /v1/{kind}/{name}/rollback",
        "POST /v1/events",
        "POST /v1/events/replay",
        "POST /v1/runs/{run_id}/replay",
        "POST /v1/manifests/plan",
        "POST /v1/manifests/apply",
        "DELETE /v1/{kind}/{name}",
        "POST /v1/subscriptions/pause",
        "POST /v1/subscriptions/resume",
        "POST /v1/runs/cancel",
        "POST /v1/runs/replay",
        "POST /v1/deadletters/retry",
        "POST /v1/deadletters/discard",
    }
)
"""Paths whose answers differ; the example shows one of them."""
_PATH_EXAMPLES: Final = {
    "sub_id": "47670438-d5af-5ccf-8e01-2b0b4f36f82e",
    "run_id": "c67eefdd-cca8-5f9c-ac6e-c4c0a265b514",
    "task_id": "8188558f-7de4-5c21-a0e9-06fa04fee680",
    "letter_id": "72a66ab4-d3ab-5f61-8f15-5004b6df8732",
}
_MANIFEST_KINDS: Final = ("definitions", "subscriptions", "calendars", "sources")
_NAMING: Final = frozenset({*_PATH_EXAMPLES, "kind", "name", "subscription", "run"})
"""Parameters that name something, which may be absent, or of which there may be several."""
_NEVER_NULL: Final = frozenset({"apiVersion", "kind", "id", "status", "outcome", "items"})
_PROBLEMS: Final = {
    400: "The request is not valid; `detail` and `findings` say where.",
    401: "There is no valid token; with `token_ended`, it has ended while the request waited.",
    403: "The token may see this, but not do it; or a page of another site asks.",
    404: "There is no such object, or the token may not see it.",
    405: "Objects of this kind are in no manifest.",
    408: "The request did not arrive in time.",
    409: "The object is not in the state that the request needs, or several fit.",
    412: "The object has changed since its `ETag` was read.",
    413: "The body is too large.",
    415: "The body has another content type than this path takes.",
    429: "Too many requests; `Retry-After` says when to come again.",
    431: "The path and the headers are larger than 64 KiB.",
    500: "The server has a bug; its log has the `requestId`.",
    503: "Postgres is away, or the server has no room; `Retry-After` says when to come again.",
    504: "The run has not ended in time, and goes on; or Postgres took too long (`too_slow`).",
}
_CODES: Final = {
    400: "bad_request",
    401: "unauthorized",
    403: "not_allowed",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    409: "conflict",
    412: "precondition_failed",
    413: "body_too_large",
    415: "unsupported_media_type",
    429: "too_many_requests",
    431: "headers_too_large",
    500: "internal",
    503: "unreachable",
    504: "timeout",
}
_ALWAYS: Final = (400, 408, 429, 431, 500, 503, 504)
_WITHOUT_RATE: Final = ("/healthz", 429)
_SCHEMA: Final = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code", "requestId", "retryable"],
    "properties": {
        "type": {"type": "string", "pattern": f"^{TYPE}"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "The code of the command line."},
        "hint": {"type": ["string", "null"]},
        "retryable": {"type": "boolean"},
        "requestId": {"type": "string"},
        "field": {"type": ["string", "null"]},
        "findings": {"type": "array", "items": {"type": "object"}},
    },
}


def describe_api(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of all paths of the application."""
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    for name, path, method, operation in _operations(document):
        _complete(operation, name, path, method)
    document["components"] = {
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        "schemas": {"Problem": _SCHEMA},
        "responses": {str(status): _problem(status) for status in _PROBLEMS},
    }
    return document


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield f"{method.upper()} {path}", path, method, operation


def _complete(operation: dict[str, Any], name: str, path: str, method: str) -> None:
    """Add what FastAPI does not know: the token, the answers and their examples."""
    is_open = not path.startswith("/v1/") or name in _ANY_TYPE
    if not is_open:
        operation["security"] = [{"token": []}]
    _add_headers(operation, name)
    answers = {
        str(status): _answer(name, text, example)
        for status, text, example in EXAMPLES.get(name, ())
    }
    if name == "GET /v1/export":
        text = "apiVersion: activityctl/v1\nkind: Calendar\n"
        answers["200"]["content"]["application/yaml"] = {
            "schema": {"type": "string"},
            "example": text,
        }
    if path in _LOGS:
        answers["200"]["content"][_STREAM] = {
            "schema": {"type": "string"},
            "example": 'id: 1438-1\nevent: log\ndata: {"message": "run started by nightly"}\n\n',
        }
    if name in _TAGGED:
        answers["200"]["headers"] = _ETAG
        answers["304"] = {"description": "Nothing has changed since the `ETag` was read."}
    for status in _problem_statuses(operation, name, path, method, is_open=is_open):
        answers.setdefault(str(status), {"$ref": f"#/components/responses/{status}"})
    operation["responses"] = dict(sorted(answers.items()))
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        if parameter["name"] == "kind" and parameter["in"] == "path":
            schema["enum"] = list(_MANIFEST_KINDS if _is_of_manifests(path, method) else KINDS)
        elif parameter["in"] == "path":
            schema.setdefault("minLength", 1)
            schema.setdefault("examples", [_PATH_EXAMPLES.get(parameter["name"], "eu-orders")])


def _add_headers(operation: dict[str, Any], name: str) -> None:
    """Add the headers that a path reads by itself."""
    described = ((_GUARDED, _IF_MATCH), (_TAGGED, _IF_NONE_MATCH), (_LOG_READERS, _LAST_EVENT_ID))
    for names, header in described:
        if name in names:
            operation.setdefault("parameters", []).append(header)


def _is_of_manifests(path: str, method: str) -> bool:
    """Return whether a path takes only the kinds of manifests; the others are 405."""
    return method == "delete" or path.endswith(("/history", "/rollback"))


def _problem_statuses(
    operation: Mapping[str, Any], name: str, path: str, method: str, *, is_open: bool
) -> Iterator[int]:
    yield from (status for status in _ALWAYS if (path, status) != _WITHOUT_RATE)
    has_body = method == "post" or "requestBody" in operation
    if has_body:
        yield from (413, 415)
    names = {parameter["name"] for parameter in operation.get("parameters", ())}
    if has_body or names & _NAMING:
        yield from (404, 409)
    if not is_open or name in _ANY_TYPE:
        yield 401
    if not is_open:
        yield 403
    if name in _GUARDED:
        yield 412
    if _is_of_manifests(path, method):
        yield 405


def _problem(status: int) -> dict[str, Any]:
    """Return the answer with problem details of this status."""
    phrase = HTTPStatus(status).phrase
    example = {
        "type": f"{TYPE}{_CODES[status]}",
        "title": phrase,
        "status": status,
        "detail": _PROBLEMS[status],
        "code": _CODES[status],
        "hint": None,
        "retryable": status in {429, 503},
        "requestId": "5f0c2a9e31",
    }
    schema = {"$ref": "#/components/schemas/Problem"}
    answer: dict[str, Any] = {
        "description": _PROBLEMS[status],
        "content": {CONTENT_TYPE: {"schema": schema, "example": example}},
    }
    if status in {429, 503}:
        answer["headers"] = {
            "Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}
        }
    return answer


def _answer(name: str, text: str, example: Any) -> dict[str, Any]:
    if isinstance(example, str):
        content = {"text/plain": {"schema": {"type": "string"}, "example": example}}
    else:
        schema = _schema(example, is_partial=name in _PARTLY)
        content = {"application/json": {"schema": schema, "example": example}}
    if name in _ANY_TYPE:
        content = {
            "application/json": {"schema": {}, "example": example},
            "text/plain": {"schema": {"type": "string"}, "example": "the challenge"},
        }
    return {"description": text, "content": content}


def _schema(example: Any, *, is_partial: bool, key: str = "") -> dict[str, Any]:
    """Return the schema of values like the example: each of its keys is always there."""
    if key == "apiVersion":
        return {"const": API_VERSION}
    if isinstance(example, dict) and example and key not in {"metadata", "summary"}:
        fields = {
            name: _schema(value, is_partial=is_partial, key=name) for name, value in example.items()
        }
        found: dict[str, Any] = {"type": "object", "properties": fields}
        if is_partial:
            found["properties"] = {
                name: field for name, field in fields.items() if name in {"apiVersion", "items"}
            }
            found["required"] = sorted(found["properties"])
        elif key not in {"runs", "progress", "schedules", "firings", "events", "bySubscription"}:
            found["required"] = sorted(fields)
        return found
    if isinstance(example, list):
        inner = {} if is_partial or not example else _schema(example[0], is_partial=False)
        return {"type": "array", "items": inner}
    if example is None:
        return {}
    names = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object"}
    name = names[type(example)]
    return {"type": name if key in _NEVER_NULL else [name, "null"]}
