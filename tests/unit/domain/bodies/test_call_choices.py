"""Credentials of `http` calls whose host a value may choose."""

import pytest

from activityctl.domain.bodies.call_choices import check_credentials_of_calls
from activityctl.domain.bodies.command_choices import trusted_names

X = "${ event.data.x }"
P = "${ params.x }"
TOKEN = "Bearer ${ tasks.token.output.stdout }"


def found(url: str, **body: object) -> list[tuple[str | int, ...]]:
    findings = check_credentials_of_calls({"url": url, **body}, trusted_names(None))
    return [finding.path for finding in findings]


@pytest.mark.parametrize(
    "url",
    [
        X,
        f"https://{X}/score",
        f"https://api.{X}",
        f"https://api.example{X}",
        f"https://api.example:{X}/",
        f"https://user@{X}/",
        f"{X}://api.example/",
        f"{P}{X}",
        f"https://{P}{X}",
        f"/{X}",
    ],
)
def test_a_host_that_an_event_chooses_gets_no_credential(url: str):
    assert found(url, headers={"Authorization": TOKEN}) == [("headers", "Authorization")]
    assert found(url, query={"api_key": P}) == [("query", "api_key")]
    assert found(url, headers={"Accept": "text/plain", "Cookie": ""}, query={"page": 1}) == []


@pytest.mark.parametrize(
    "url",
    [
        f"https://api.example/{X}",
        f"https://api.example?x={X}",
        "https://api.example",
        f"https://api.{P}.example/{X}",
        P,
        f"{P}/{X}",
        f"/v1/{X}",
    ],
)
def test_a_host_that_is_written_out_or_comes_from_params_gets_credentials(url: str):
    assert found(url, headers={"Authorization": TOKEN}, query={"token": TOKEN}) == []


def test_a_model_gets_no_key_at_an_address_that_an_event_chooses():
    def paths(body: dict[str, object]) -> list[tuple[str | int, ...]]:
        findings = check_credentials_of_calls(body, trusted_names(None), "baseUrl")
        return [finding.path for finding in findings]

    for key in (TOKEN, {"secretRef": "key"}):
        assert paths({"apiKey": key, "baseUrl": f"https://{X}/v1"}) == [("apiKey",)]
        assert paths({"apiKey": key, "baseUrl": P}) == []
        assert paths({"apiKey": key}) == []
    assert paths({"baseUrl": X, "prompt": X}) == []
