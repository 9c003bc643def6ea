"""The HTTP executor: pages, in number, bytes, time and place."""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio

from activityctl.executors.http import HttpExecutor
from support.http_server import Serve, Server, a_call, answering_json, failing, run


class Book:
    """A server whose answer depends on the target of the request."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def answers(self, page: Any) -> None:
        """`page(query, number)` returns the JSON of a page and its headers."""

        async def answer(writer: asyncio.StreamWriter) -> None:
            request = self.server.requests[-1]
            query = parse_qs(urlsplit(request.target).query)
            first = {key: values[0] for key, values in query.items()}
            document, headers = page(first, len(self.server.requests))
            content = json.dumps(document).encode()
            lines = ["HTTP/1.1 200 OK", "Content-Type: application/json", *headers]
            lines.append(f"Content-Length: {len(content)}")
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
            await writer.drain()

        self.server.answer = answer


@pytest_asyncio.fixture(loop_scope="session")
async def book(serve: Serve) -> Book:
    return Book(await serve(answering_json("[]")))


async def test_the_link_header_is_followed_by_default(book: Book, executor: HttpExecutor):
    def page(_query: dict[str, str], number: int) -> Any:
        link = [f'Link: </items?page={number + 1}>; rel="next", </items>; rel="first"']
        return [number], link if number < 4 else []

    book.answers(page)
    output = (await run(executor, url=f"{book.server.url}/items", paginate={})).output
    assert output["items"] == [1, 2, 3, 4]
    assert (output["pages"], output["complete"], output["status"]) == (4, True, 200)
    assert output["bytes"] == 4 * len("[1]")
    assert [request.target for request in book.server.requests] == [
        "/items",
        "/items?page=2",
        "/items?page=3",
        "/items?page=4",
    ]
    keys = [request.headers["idempotency-key"] for request in book.server.requests]
    assert keys == ["task-1", "task-1/2", "task-1/3", "task-1/4"]


@pytest.mark.parametrize("last", [None, ""])
async def test_a_url_in_the_body_is_followed_with_the_credentials(
    book: Book, executor: HttpExecutor, last: object
):
    def page(_query: dict[str, str], number: int) -> Any:
        following = f"{book.server.url}/more?after={number}" if number < 3 else last
        return {"data": {"list": [number, number]}, "next": following}, []

    book.answers(page)
    paginate = {"next": "response.json.next", "items": "response.json.data.list"}
    output = (
        await run(executor, url=book.server.url, auth={"bearer": "abc"}, paginate=paginate)
    ).output
    assert output["items"] == [1, 1, 2, 2, 3, 3]
    tokens = {request.headers["authorization"] for request in book.server.requests}
    assert tokens == {"Bearer abc"}


async def test_a_cursor_or_a_number_goes_into_the_query(book: Book, executor: HttpExecutor):
    def page(query: dict[str, str], _number: int) -> Any:
        at = int(query.get("cursor", "0"))
        return {"items": [at], "cursor": at + 1 if at < 2 else None}, []

    book.answers(page)
    paginate = {"next": '{"cursor": response.json.cursor}', "items": "response.json.items"}
    url = f"{book.server.url}/?limit=5&cursor=0"
    output = (await run(executor, url=url, paginate=paginate)).output
    assert output["items"] == [0, 1, 2]
    assert book.server.requests[-1].target == "/?limit=5&cursor=2"
    paginate["next"] = 'response.json.items[0] == 2 ? {} : {"cursor": string(response.page)}'
    assert (await run(executor, url=url, paginate=paginate)).output["items"] == [0, 1, 2]


@pytest.mark.parametrize("kind", ["json", "form"])
async def test_a_cursor_goes_into_the_body(book: Book, executor: HttpExecutor, kind: str):
    def page(_query: dict[str, str], number: int) -> Any:
        return {"items": [number], "end": number if number < 3 else None}, []

    book.answers(page)
    nested = kind == "json"
    cursor = (
        '{"variables": {"after": response.json.end}}' if nested else '{"after": response.json.end}'
    )
    paginate = {"next": cursor, "nextIn": "body", "items": "response.json.items"}
    first = {"query": "q", "variables": {"first": 2}} if nested else {"limit": 2}
    body = {"method": "POST", "url": book.server.url, kind: first, "paginate": paginate}
    body["auth"] = {"hmac": {"secret": "k", "scheme": "body", "header": "X-Sign"}}
    output = (await run(executor, **body)).output
    assert output["items"] == [1, 2, 3]
    assert {request.target for request in book.server.requests} == {"/"}
    sent = [request.body.decode() for request in book.server.requests]
    if nested:
        afters = [json.loads(text)["variables"] for text in sent]
        assert afters == [{"first": 2}, {"first": 2, "after": 1}, {"first": 2, "after": 2}]
    else:
        assert sent == ["limit=2", "limit=2&after=1", "limit=2&after=2"]
    assert len({request.headers["x-sign"] for request in book.server.requests}) == 3

    book.answers(lambda _query, _number: ({"items": [], "end": "same"}, []))
    error = await failing(executor, **body)
    assert (error.task_code, error.may_retry) == ("bad_response", False)
    assert "was read before" in error.message
    error = await failing(executor, **{**body, "paginate": {**paginate, "next": "'/next'"}})
    assert "paginate.next should give a map or null" in error.message


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"json": {}, "paginate": {"nextIn": "body"}}, "no effect without paginate.next"),
        ({"paginate": {"nextIn": "body", "next": "{}"}}, "needs json or form"),
    ],
)
async def test_a_cursor_needs_a_body_to_go_into(
    book: Book, executor: HttpExecutor, body: dict[str, Any], reason: str
):
    error = await failing(executor, url=book.server.url, **body)
    assert reason in error.message
    assert book.server.requests == []


def endless(_query: dict[str, str], number: int) -> Any:
    return [number], [f"Link: </?page={number}>; rel=next"]


async def test_too_many_pages_fail_or_stop(book: Book, executor: HttpExecutor):
    book.answers(endless)
    error = await failing(executor, url=book.server.url, paginate={"maxPages": 5})
    assert (error.task_code, error.may_retry) == ("too_many_pages", False)
    assert "more pages than 5 (paginate.maxPages)" in error.message
    assert len(book.server.requests) == 5
    paginate = {"maxPages": 3, "onLimit": "stop"}
    output = (await run(executor, url=book.server.url, paginate=paginate)).output
    assert (output["pages"], output["complete"], len(output["items"])) == (3, False, 3)


async def test_the_bytes_and_the_time_of_all_pages_have_a_limit(book: Book, executor: HttpExecutor):
    book.answers(lambda query, number: (["x" * 5000], endless(query, number)[1]))
    error = await failing(executor, url=book.server.url, paginate={"maxBytes": 12_000})
    assert (error.task_code, error.may_retry) == ("response_too_large", False)
    assert len(book.server.requests) == 3
    book.answers(endless)
    call = a_call(timeout_seconds=0.2)
    error = await failing(executor, call, url=book.server.url, paginate={"maxPages": 1000})
    assert error.task_code in {"timeout", "too_many_pages"}


async def test_a_page_that_was_read_before_is_an_error(book: Book, executor: HttpExecutor):
    book.answers(lambda _query, _number: ([], ["Link: </a>; rel=next"]))
    error = await failing(executor, url=f"{book.server.url}/a", paginate={})
    assert (error.task_code, error.may_retry) == ("bad_response", False)
    assert "was read before" in error.message


@pytest.mark.parametrize(
    "url",
    [
        "http://other.example/x",
        "https://127.0.0.1:{port}/x",
        "http://127.0.0.1:1/x",
        "//169.254.169.254/x",
        "http://user@127.0.0.1:{port}/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
    ],
)
async def test_a_page_elsewhere_is_never_asked_for(book: Book, executor: HttpExecutor, url: str):
    port = str(book.server.port)
    book.answers(lambda _query, _number: ({"next": url.replace("{port}", port)}, []))
    paginate = {"next": "response.json.next", "items": "[]"}
    error = await failing(executor, url=book.server.url, auth={"bearer": "abc"}, paginate=paginate)
    assert (error.task_code, error.may_retry) == ("destination_forbidden", False)
    assert len(book.server.requests) == 1


@pytest.mark.parametrize(
    ("paginate", "code"),
    [
        ({"next": "response.json.none"}, "expression_failed"),
        ({"next": "7"}, "bad_response"),
        ({"next": "'http://[/'"}, "destination_forbidden"),
        ({"items": "response.json.none"}, "expression_failed"),
        ({"items": "null"}, "bad_response"),
    ],
)
async def test_expressions_that_give_nothing_usable_fail(
    book: Book, executor: HttpExecutor, paginate: dict[str, str], code: str
):
    book.answers(lambda _query, _number: ({"a": 1}, []))
    error = await failing(executor, url=book.server.url, paginate=paginate)
    assert (error.task_code, error.may_retry) == (code, False)
    assert error.message.startswith("page ")
