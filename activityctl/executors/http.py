"""The `http` task and the `http` context source; `http_client` makes their calls."""

from typing import ClassVar, Literal

from pydantic import BaseModel, Field

from activityctl.executors.http_body import HttpBody
from activityctl.executors.http_client import HttpCall, HttpClient
from activityctl.ports import ExecutorOutcome, JsonValue, SourceCall, TaskCall


class HttpExecutor:
    """Sends one request for each attempt, or one for each page.

    Output: `status`, `headers` (names in lower case, repeated ones joined by commas), `json`, or
    else `body` as text, `bytes` (size of the body, decompressed) and `durationMs`. With `paginate`
    it has `items`, `pages` and `complete` in place of `json` and `body`.
    """

    kind: ClassVar[str] = "http"
    body: ClassVar[type[BaseModel]] = HttpBody

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    async def execute(self, body: HttpBody, call: TaskCall) -> ExecutorOutcome:
        """Send the request. Raises TaskError for every response that `expect` does not name."""
        made = HttpCall(
            call.run_id,
            call.attempt,
            call.idempotency_key,
            call.timeout_seconds,
            "timeout.startToClose",
            call.secret,
            call.mask,
            call.decide,
            call.outgoing,
        )
        return ExecutorOutcome(await self._client.send(body, made))

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()


class HttpSourceBody(HttpBody):
    """Sends one HTTP request; the value is the body of the response."""

    result: Literal["body", "response"] = Field(
        default="body",
        description="What the value is: `body` is the JSON or text of the response, or the items "
        "of all pages; `response` is the output of an http task, with status and headers. "
        "Default: body.",
        examples=["response"],
    )


class HttpSource:
    """Looks up the response of a server."""

    kind: ClassVar[str] = "http"
    body: ClassVar[type[BaseModel]] = HttpSourceBody

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    async def resolve(self, body: HttpSourceBody, call: SourceCall) -> JsonValue:
        """Return the body of the response, or the whole response."""
        made = HttpCall(
            call.run.id,
            call.attempt,
            f"{call.run.id}/context/{call.name}",
            call.timeout_seconds,
            "timeout",
            call.secret,
            call.mask,
            call.decide,
            call.outgoing,
        )
        output = await self._client.send(body, made)
        if body.result == "response":
            return output
        if body.paginate is not None:
            return output["items"]
        return output["json"] if output["body"] is None else output["body"]
