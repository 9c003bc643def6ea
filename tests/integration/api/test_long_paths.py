"""A path counts among the headers, and an error repeats little of it."""

from support.api_server import Api


def test_a_long_path_is_refused_and_a_long_name_is_not_repeated(api: Api):
    head = f"GET /v1/runs?{'x' * 70_000} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = api.raw(head.encode())
    assert (answer.status, answer.json["code"]) == (431, "headers_too_large")
    told = api.client.get(f"/v1/runs?{'x' * 9_000}").json()["detail"]
    assert told.endswith(f"no parameter '{'x' * 60}'")
