"""Tokens of other issuers: what is accepted, and the published attacks, which all are refused."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

from activityctl.adapters.jwt import key_sets
from activityctl.adapters.jwt.key_sets import FetchedKeySet
from activityctl.adapters.jwt.verifier import JwtVerifier
from activityctl.domain.access.issuer import Issuers
from activityctl.errors import UnreachableError
from activityctl.ports import InvalidTokenError
from support.issuer import AUDIENCE, ISSUER, LocalIssuer, part, running_issuer

RULES = [
    {"claims": {"repository": "acme/*", "ref": "refs/heads/main"}, "scopes": ["apply:set=shop"]},
    {"claims": {"repository": "acme/*"}, "scopes": ["read", "apply:set=shop"]},
]


@pytest.fixture(scope="module")
def issuer() -> Iterator[LocalIssuer]:
    with running_issuer() as running:
        yield running


def issuers(issuer: LocalIssuer, **fields: Any) -> Issuers:
    each = {"name": "ci", "issuer": ISSUER, "audience": AUDIENCE, "jwksURL": issuer.url}
    return Issuers.model_validate({"issuers": [{**each, "rules": RULES, **fields}]})


@pytest_asyncio.fixture(loop_scope="session")
async def verifier(issuer: LocalIssuer) -> AsyncIterator[JwtVerifier]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield JwtVerifier(issuers(issuer), client)


def claims(**fields: Any) -> dict[str, Any]:
    now = int(time.time())
    known = {"iss": ISSUER, "aud": AUDIENCE, "sub": "repo:acme/shop", "exp": now + 300}
    merged = {**known, "repository": "acme/shop", **fields}
    return {name: value for name, value in merged.items() if value is not ...}


async def test_a_token_gets_the_scopes_of_every_rule_that_fits(
    verifier: JwtVerifier, issuer: LocalIssuer
):
    caller = (await verifier.verify(issuer.token(claims()))).caller
    assert caller.name == "jwt/ci/repo:acme/shop"
    assert [str(scope) for scope in caller.scopes] == ["read", "apply:set=shop"]
    main = (await verifier.verify(issuer.token(claims(ref="refs/heads/main")))).caller
    assert [str(scope) for scope in main.scopes] == ["apply:set=shop", "read"]
    other = (await verifier.verify(issuer.token(claims(repository="other/shop")))).caller
    assert other.scopes == ()
    listed = claims(aud=["x", AUDIENCE])
    assert (await verifier.verify(issuer.token(listed))).claims["aud"] == ["x", AUDIENCE]
    by_curve = issuer.token(claims(), key=issuer.ec, algorithm="ES256", headers={"kid": "e1"})
    assert (await verifier.verify(by_curve)).issuer.name == "ci"


async def test_times_have_the_leeway_and_no_more(verifier: JwtVerifier, issuer: LocalIssuer):
    now = int(time.time())
    await verifier.verify(issuer.token(claims(exp=now - 10)))
    await verifier.verify(issuer.token(claims(nbf=now + 10)))
    for wrong, reason in (
        (claims(exp=now - 90), "expired"),
        (claims(nbf=now + 90), "not valid yet"),
        (claims(iat=now + 90), "not valid yet"),
    ):
        with pytest.raises(InvalidTokenError, match=reason):
            await verifier.verify(issuer.token(wrong))


@pytest.mark.parametrize("name", ["exp", "sub"])
async def test_what_must_be_there_is_missed(verifier: JwtVerifier, issuer: LocalIssuer, name: str):
    with pytest.raises(InvalidTokenError, match=f"it has no {name}"):
        await verifier.verify(issuer.token(claims(**{name: ...})))


@pytest.mark.parametrize(
    "fields",
    [
        {"iss": "https://ci.example/"},
        {"iss": ...},
        {"iss": [ISSUER]},
        {"aud": "activityctl"},
        {"aud": ...},
        {"aud": []},
        {"aud": {"activityctl-test": 1}},
        {"sub": ""},
        {"exp": "tomorrow"},
        {"exp": 1e400},
    ],
    ids=str,
)
async def test_claims_of_another_form_are_refused(
    verifier: JwtVerifier, issuer: LocalIssuer, fields: dict[str, Any]
):
    is_encoded = fields.get("exp") != 1e400 and not isinstance(fields.get("iss"), list)
    text = issuer.token(claims(**fields)) if is_encoded else unsigned(fields)
    with pytest.raises(InvalidTokenError):
        await verifier.verify(text)


def unsigned(fields: dict[str, Any]) -> str:
    return f"{part({'alg': 'RS256', 'kid': 'r1'})}.{part(claims(**fields))}.AAAA"


def forged(header: dict[str, Any], sign: Any = lambda _: b"") -> str:
    """Return a token whose header is the attacker's choice."""
    body = f"{part(header)}.{part(claims(ref='refs/heads/main'))}"
    signature = sign(body.encode())
    return f"{body}.{_encoded(signature)}"


def _encoded(signature: bytes) -> str:
    return base64.urlsafe_b64encode(signature).rstrip(b"=").decode()


def public_pem(issuer: LocalIssuer) -> bytes:
    return issuer.rsa.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


async def test_no_algorithm_of_the_attackers_choice_is_used(
    verifier: JwtVerifier, issuer: LocalIssuer
):
    pem = public_pem(issuer)
    jwk = json.dumps(issuer.keys[0]).encode()

    def keyed(secret: bytes) -> Any:
        return lambda body: hmac.new(secret, body, hashlib.sha256).digest()

    attacks = [
        *(forged({"alg": name, "kid": "r1"}) for name in ("none", "None", "NONE", "nOnE", "")),
        *(forged({"alg": "HS256", "kid": "r1"}, keyed(secret)) for secret in (pem, jwk, b"", b"0")),
        forged({"kid": "r1"}),
        forged({"alg": None, "kid": "r1"}),
        forged({"alg": ["RS256"], "kid": "r1"}),
        forged({"alg": "RS256", "kid": "r1"}),  # an empty signature
        forged({"alg": "ES256", "kid": "e1"}, lambda _: bytes(64)),  # CVE-2022-21449
        issuer.token(claims(), algorithm="RS512"),  # not of those that are accepted
        issuer.token(claims(), key=issuer.ec, algorithm="ES256"),  # the key is of another type
    ]
    for attack in attacks:
        with pytest.raises(InvalidTokenError):
            await verifier.verify(attack)


async def test_no_key_of_the_attackers_choice_is_used(verifier: JwtVerifier, issuer: LocalIssuer):
    own = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk = json.loads(RSAAlgorithm.to_jwk(own.public_key()))
    with running_issuer() as other:
        other.keys = [{**jwk, "kid": "r1"}]
        for header in (
            {},
            {"jwk": jwk},
            {"jku": other.url},
            {"x5u": other.url},
            {"x5c": ["AAAA"]},
            {"kid": "../../../../dev/null"},
            {"kid": "r1' OR '1'='1"},
            {"kid": other.url},
            {"kid": "e1"},
            {"kid": "\0"},
        ):
            with pytest.raises(InvalidTokenError):
                await verifier.verify(issuer.token(claims(), key=own, headers=header))
        assert other.fetches == 0
    critical = issuer.token(claims(), headers={"crit": ["exp"], "exp": 1})
    with pytest.raises(InvalidTokenError):
        await verifier.verify(critical)


@pytest.mark.parametrize(
    "text",
    ["", "..", "a.b.c", "a.b", "a.b.c.d", "é.é.é", ".".join(3 * ["e30"]), "e30." * 9000],
)
async def test_what_is_no_token_is_refused(verifier: JwtVerifier, text: str):
    with pytest.raises(InvalidTokenError):
        await verifier.verify(text)


async def test_no_byte_of_a_token_can_be_changed(verifier: JwtVerifier, issuer: LocalIssuer):
    text = issuer.token(claims())
    await verifier.verify(text)
    for place in range(0, len(text) - 2, 7):  # the last character has unused bits
        other = "A" if text[place] != "A" else "B"
        with pytest.raises(InvalidTokenError):
            await verifier.verify(text[:place] + other + text[place + 1 :])


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_weak_and_foreign_keys_of_the_issuer_are_not_used(issuer: LocalIssuer):
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # a test
    secret = {"kty": "oct", "k": _encoded(b"0" * 32), "kid": "o1"}
    edwards = ed25519.Ed25519PrivateKey.generate()
    with running_issuer() as other:
        other.keys = [
            {**json.loads(RSAAlgorithm.to_jwk(weak.public_key())), "kid": "r1"},
            {**issuer.keys[0], "kid": "enc", "use": "enc"},
            {**issuer.keys[0], "kid": "ps", "alg": "PS256"},
            {**json.loads(OKPAlgorithm.to_jwk(edwards.public_key())), "kid": "d1"},
            secret,
        ]
        async with httpx.AsyncClient(trust_env=False) as client:
            verifier = JwtVerifier(issuers(other, algorithms=["RS256", "EdDSA"]), client)
            for key, kid in ((weak, "r1"), (issuer.rsa, "enc"), (issuer.rsa, "ps")):
                with pytest.raises(InvalidTokenError):
                    await verifier.verify(issuer.token(claims(), key=key, headers={"kid": kid}))
            good = issuer.token(claims(), key=edwards, algorithm="EdDSA", headers={"kid": "d1"})
            assert (await verifier.verify(good)).claims["sub"] == "repo:acme/shop"


async def test_keys_are_fetched_seldom_and_outlive_an_outage_of_the_issuer():
    now = 0.0
    with running_issuer() as other:
        async with httpx.AsyncClient(trust_env=False) as client:
            keys = FetchedKeySet(other.url, client, lambda: now)
            other.status = 500
            with pytest.raises(UnreachableError):
                await keys.find("r1")
            with pytest.raises(UnreachableError):  # not asked again within the pause
                await keys.find("r1")
            assert other.fetches == 1
            other.status, now = 200, now + key_sets.PAUSE_SECONDS
            assert await keys.find("r1") == other.keys[0]
            for _ in range(5):
                assert await keys.find("unknown") is None
            assert other.fetches == 2
            now += key_sets.PAUSE_SECONDS  # a rotation: the new key is found, the old one gone
            other.keys = [{**other.keys[0], "kid": "r2"}]
            assert await keys.find("r2") == other.keys[0]
            assert await keys.find("r1") is None
            other.status, now = 500, now + key_sets.KEPT_SECONDS + 1
            assert await keys.find("r2") == other.keys[0]
            now += key_sets.AT_LATEST_SECONDS
            with pytest.raises(UnreachableError):
                await keys.find("r2")


async def test_a_file_of_keys_needs_no_network(tmp_path: Any, issuer: LocalIssuer):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": issuer.keys}))
    named = issuers(issuer, jwksURL=None, keysFile="keys.json").in_folder(tmp_path)
    async with httpx.AsyncClient(trust_env=False) as client:
        verifier = JwtVerifier(named, client)
        assert (await verifier.verify(issuer.token(claims()))).issuer.name == "ci"
