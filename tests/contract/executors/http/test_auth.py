"""The HTTP executor: who a request is from, and where credentials go."""

import base64
import hashlib
import hmac
from dataclasses import replace

import pytest

from activityctl.executors.http import HttpExecutor
from activityctl.ports import ResolveSecret
from support.http_server import Serve, a_call, answering, answering_json, failing, run


def secrets(**values: str) -> ResolveSecret:
    async def resolve(value: object, *, host: str | None) -> str:
        assert host is not None
        return value if isinstance(value, str) else values[value.secret_ref]

    return resolve


async def test_a_token_and_a_user_are_sent_in_authorization(serve: Serve, executor: HttpExecutor):
    server = await serve(answering(b"x"))
    call = replace(a_call(), secret=secrets(token="canary-1", word="pä ss"))
    await run(executor, call, url=server.url, auth={"bearer": {"secretRef": "token"}})
    basic = {"basic": {"username": "me", "password": {"secretRef": "word"}}}
    await run(executor, call, url=server.url, auth=basic)
    bearer, user = (request.headers["authorization"] for request in server.requests)
    assert bearer == "Bearer canary-1"
    assert base64.b64decode(user.removeprefix("Basic ")) == "me:pä ss".encode()


async def test_a_form_may_have_a_secret(serve: Serve, executor: HttpExecutor):
    server = await serve(answering())
    call = replace(a_call(), secret=secrets(crm="a b"))
    form = {"client_id": "x", "client_secret": {"secretRef": "crm"}}
    await run(executor, call, method="POST", url=server.url, form=form)
    assert server.requests[0].body == b"client_id=x&client_secret=a+b"


async def test_a_body_is_signed_as_github_does(serve: Serve, executor: HttpExecutor):
    server = await serve(answering())
    call = replace(a_call(), secret=secrets(key="It's a Secret to Everybody"))
    # The example of GitHub's documentation.
    signed = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    auth = {"hmac": {"secret": {"secretRef": "key"}, "scheme": "body"}}
    await run(executor, call, method="POST", url=server.url, body="Hello, World!", auth=auth)
    assert server.requests[0].headers["x-hub-signature-256"] == signed
    auth["hmac"] |= {"header": "X-Mine", "algorithm": "sha512", "prefix": "", "encoding": "base64"}
    await run(executor, call, method="POST", url=server.url, body="Hello, World!", auth=auth)
    digest = hmac.digest(b"It's a Secret to Everybody", b"Hello, World!", "sha512")
    assert server.requests[1].headers["x-mine"] == base64.b64encode(digest).decode()


async def test_a_request_is_signed_by_standard_webhooks(serve: Serve, executor: HttpExecutor):
    server = await serve(answering())
    key = b"0123456789abcdefghijklmn"
    call = replace(a_call(), secret=secrets(key="whsec_" + base64.b64encode(key).decode()))
    auth = {"hmac": {"secret": {"secretRef": "key"}}}
    await run(executor, call, method="POST", url=server.url, json={"a": 1}, auth=auth)
    headers = server.requests[0].headers
    assert headers["webhook-id"] == headers["idempotency-key"] == "task-1"
    signed = f"task-1.{headers['webhook-timestamp']}.".encode() + b'{"a":1}'
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
    call = replace(call, secret=secrets(key="whsec_%"))
    error = await failing(executor, call, method="POST", url=server.url, auth=auth)
    assert (error.task_code, error.may_retry) == ("secret_unusable", False)


async def test_a_credential_that_the_response_repeats_is_masked(
    serve: Serve, executor: HttpExecutor
):
    server = await serve(answering_json('{"you sent": "Bearer canary-12345"}'))
    output = (await run(executor, url=server.url, auth={"bearer": "canary-12345"})).output
    assert "canary" not in str(output)


@pytest.mark.parametrize("token", ["a\nb", "a\x00"])
async def test_a_secret_that_no_header_can_hold_fails_at_once(executor: HttpExecutor, token: str):
    call = replace(a_call(), secret=secrets(token=token))
    auth = {"bearer": {"secretRef": "token"}}
    error = await failing(executor, call, url="http://127.0.0.1/", auth=auth)
    assert (error.task_code, error.may_retry) == ("secret_unusable", False)
    assert token not in error.message
