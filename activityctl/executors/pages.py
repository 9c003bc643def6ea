"""Finds the next page of a paginated response, and collects the items of all pages."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from activityctl.domain.cel.expression import evaluate, json_text
from activityctl.domain.values.ids import canonical_json
from activityctl.errors import (
    DestinationForbiddenError,
    ExpressionBudgetError,
    ExpressionError,
    TaskError,
)
from activityctl.executors.address import parse_url
from activityctl.executors.http_parts import Paging
from activityctl.executors.request import forbidden, host_of
from activityctl.executors.response import too_large
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Decide, JsonValue

if TYPE_CHECKING:
    import httpx

_EMPTY: Final = (None, "", False)


@frozen_dataclass
class NextPage:
    """Where a page is, and what its request sends in its body besides."""

    url: "httpx.URL"
    fields: Mapping[str, JsonValue]

    @property
    def key(self) -> str:
        """What tells it from other pages."""
        return f"{self.url} {canonical_json(self.fields)}" if self.fields else str(self.url)


class Pages:
    """Reads along the pages of one call."""

    def __init__(self, paging: Paging, decide: Decide) -> None:
        self._paging = paging
        self._decide = decide
        self._seen: set[str] = set()
        self.items: list[JsonValue] = []
        self.count = 0
        self.bytes = 0
        self.is_complete = True
        """Whether the last page was read."""

    async def add(self, response: "httpx.Response", output: Mapping[str, JsonValue]) -> None:
        """Take the items of a page; raise TaskError if it has none, or too many bytes."""
        self.count += 1
        self.bytes += output["bytes"]
        if self.bytes > self._paging.max_bytes:
            what = f"pages with more than {self._paging.max_bytes:,} bytes (paginate.maxBytes)"
            raise too_large(response.request, what)
        if self._paging.next_in == "query":
            self._seen.add(str(response.request.url))
        items = await self._evaluate("items", self._paging.items, _scope(self, response, output))
        if items is None:
            raise self._error("paginate.items gave null")
        self.items += items if isinstance(items, list) else [items]

    async def next_page(
        self, response: "httpx.Response", output: Mapping[str, JsonValue]
    ) -> NextPage | None:
        """Return the page after that one; None after the last page.

        Raises TaskError for a page on another host, which would get what this host gets, for one
        that was read before, and when there are too many.
        """
        page = await self._next(response, output)
        if page is None:
            return None
        if page.key in self._seen:
            raise self._error(f"the next page is one that was read before: {_shown(page.url)}")
        if self.count < self._paging.max_pages:
            self._seen.add(page.key)
            return page
        if self._paging.on_limit == "fail":
            limit = f"{self._paging.max_pages:,} (paginate.maxPages)"
            raise self._error(f"there are more pages than {limit}", code="too_many_pages")
        self.is_complete = False
        return None

    async def _next(
        self, response: "httpx.Response", output: Mapping[str, JsonValue]
    ) -> NextPage | None:
        url = response.request.url
        if self._paging.next is None:
            found: Any = _links(response).get("next")
        else:
            scope = _scope(self, response, output)
            found = await self._evaluate("next", self._paging.next, scope)
        is_in_body = self._paging.next_in == "body"
        match found:
            case dict():
                if _is_last(found):
                    return None
                if is_in_body:
                    return NextPage(url, found)
                wanted = str(url.copy_merge_params({k: json_text(v) for k, v in found.items()}))
            case None | "":
                return None
            case str() if not is_in_body:
                wanted = str(_joined(url, found) or found)
            case _:
                forms = "a map or null" if is_in_body else "a URL, a map or null"
                raise self._error(f"paginate.next should give {forms}")
        return NextPage(self._on_same_host(wanted, url), {})

    def _on_same_host(self, wanted: str, url: "httpx.URL") -> "httpx.URL":
        try:
            after = parse_url(wanted)
        except DestinationForbiddenError as error:
            raise forbidden(f"page {self.count + 1}", error) from error
        except ValueError as error:
            raise self._error(f"paginate.next: {error}") from error
        if (after.scheme, host_of(after)) != (url.scheme, host_of(url)):
            message = f"page {self.count + 1} is on another host, which is not followed"
            raise TaskError(
                f"{message}: {_shown(after)}", code="destination_forbidden", retryable=False
            )
        return after.copy_with(fragment=None)

    async def _evaluate(self, field: str, source: str, scope: Mapping[str, Any]) -> JsonValue:
        try:
            return await self._decide(evaluate, source, scope)
        except ExpressionBudgetError as error:
            raise self._error(f"paginate.{field}: {error}", code="expression_budget") from error
        except ExpressionError as error:
            raise self._error(f"paginate.{field}: {error}", code="expression_failed") from error

    def _error(self, reason: str, code: str = "bad_response") -> TaskError:
        return TaskError(f"page {self.count}: {reason}", code=code, retryable=False)


def _is_last(fields: Mapping[str, JsonValue]) -> bool:
    """Return whether a map says that no page follows: it is empty, or a value of it is."""
    return not fields or any(
        _is_last(value) if isinstance(value, dict) else value in _EMPTY for value in fields.values()
    )


def _scope(
    pages: Pages, response: "httpx.Response", output: Mapping[str, JsonValue]
) -> dict[str, Any]:
    seen = {name: output[name] for name in ("status", "headers", "json", "body")}
    return {"response": {**seen, "page": pages.count, "links": _links(response)}}


def _links(response: "httpx.Response") -> dict[str, str]:
    """Return the URLs of the `Link` header by their relation (RFC 8288)."""
    found: dict[str, str] = {}
    for link in response.links.values():
        for relation in str(link.get("rel", "")).split():
            if url := link.get("url"):
                found.setdefault(relation.lower(), url)
    return found


def _joined(url: "httpx.URL", reference: str) -> "httpx.URL | None":
    import httpx

    try:
        return url.join(reference)
    except httpx.InvalidURL:
        return None


def _shown(url: "httpx.URL") -> str:
    """Return a URL without its query, which may contain secrets."""
    path = url.raw_path.partition(b"?")[0].decode("ascii", errors="replace")
    return f"{url.scheme}://{url.netloc.decode('ascii')}{path}"
