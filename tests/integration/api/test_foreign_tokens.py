"""A CI's own token at the real server: it does what a rule gives it, and nothing else."""

import base64
import hmac
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from activityctl.settings import Settings
from support.api_server import Api, running_api
from support.issuer import AUDIENCE, ISSUER, LocalIssuer, part, running_issuer

EVENT = {"specversion": "1.0", "id": "ci-1", "source": "/ci", "type": "build.done"}
FILE = f"""
issuers:
  - name: ci
    issuer: {ISSUER}
    audience: {AUDIENCE}
    jwksURL: KEYS
    rules:
      - claims: {{repository: acme/shop}}
        scopes: ["emit:type=build.*"]
"""


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    with running_issuer() as running:
        yield running


@pytest.fixture
def guarded(api_settings: Settings, tmp_path: Path, issuer: LocalIssuer) -> Iterator[Api]:
    path = tmp_path / "issuers.yaml"
    path.write_text(FILE.replace("KEYS", issuer.url))
    settings = replace(api_settings, home=tmp_path, issuers_file=str(path))
    with running_api(settings) as running:
        yield running


def attacks(issuer: LocalIssuer, claims: dict[str, Any]) -> Iterator[str]:
    """Yield tokens of the published attacks; more of them are tried where tokens are verified."""
    own = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    own_key = {**json.loads(RSAAlgorithm.to_jwk(own.public_key())), "kid": "r1"}
    for header in ({"kid": "../../keys.json"}, {"kid": "r1", "jku": "http://127.0.0.1:1/mine"}):
        yield issuer.token(claims, key=own, headers=header)
    yield issuer.token(claims, key=own, headers={"kid": "r1", "jwk": own_key})
    for algorithm in ("none", "None", "HS256"):
        body = f"{part({'alg': algorithm, 'kid': 'r1'})}.{part(claims)}"
        public = json.dumps(issuer.keys[0]).encode()
        made = hmac.digest(public, body.encode(), "sha256") if algorithm == "HS256" else b""
        yield f"{body}.{base64.urlsafe_b64encode(made).rstrip(b'=').decode()}"


def test_a_token_of_the_ci_is_worth_what_the_rules_say(
    guarded: Api, issuer: LocalIssuer, api_settings: Settings
) -> None:
    known: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "job/7",
        "exp": time.time() + 60,
    }

    def post(token: str, event: dict[str, Any]) -> Any:
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/cloudevents+json",
        }
        return guarded.client.post("/v1/events", content=json.dumps(event), headers=headers)

    good = issuer.token({**known, "repository": "acme/shop"})
    accepted = post(good, EVENT)
    assert accepted.json()["summary"]["accepted"] == 1
    assert post(good, {**EVENT, "type": "order.paid"}).status_code == 403
    refused = [
        post(token, EVENT)
        for token in (
            issuer.token({**known, "repository": "acme/other"}),
            issuer.token({**known, "repository": "acme/shop", "exp": time.time() - 90}),
            issuer.token({**known, "repository": "acme/shop", "aud": "another"}),
            good[:-8] + "AAAAAAAA",
            *attacks(issuer, {**known, "repository": "acme/shop"}),
            "a.b.c",
        )
    ]
    assert {answer.status_code for answer in refused} == {401}
    texts = {answer.text.replace(answer.headers["x-request-id"], "") for answer in refused}
    assert len(texts) == 1
    issuer.status = 500  # known keys are enough
    assert post(good, EVENT).json()["summary"]["duplicate"] == 1
    with psycopg.connect(api_settings.required_database_url()) as connection:
        query = "SELECT actor FROM audit_entries WHERE request_id = %s"
        actor = connection.execute(query, [accepted.headers["x-request-id"]]).fetchone()
    assert actor == ("jwt/ci/job/7",)


def test_an_issuer_that_was_never_reached_is_an_outage(guarded: Api, issuer: LocalIssuer) -> None:
    issuer.status = 500
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "exp": time.time() + 60}
    headers = {"Authorization": f"Bearer {issuer.token(claims)}"}
    answer = guarded.client.post("/v1/events", json=EVENT, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (503, "unreachable")
