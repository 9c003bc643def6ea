"""An issuer of tokens on this machine: its keys, and tokens as good or bad as a test wants."""

import base64
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = "https://ci.example", "activityctl-test"


class LocalIssuer:
    """Publishes its keys at `url`; `keys` can be changed while it runs."""

    def __init__(self) -> None:
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.keys: list[Mapping[str, Any]] = [
            {**json.loads(RSAAlgorithm.to_jwk(self.rsa.public_key())), "kid": "r1", "use": "sig"},
            {**json.loads(ECAlgorithm.to_jwk(self.ec.public_key())), "kid": "e1"},
        ]
        self.status = 200
        self.fetches = 0
        self.url = ""
        self.claims_of: Callable[[str, str], Mapping[str, Any]] | None = None
        """Returns the claims of a job's token, by its environment and the audience."""

    @property
    def token_url(self) -> str:
        """Where a job of a CI asks for its token, as on GitHub."""
        return self.url.replace("keys.json", "token?api-version=1")

    def answer(self, target: str, authorization: str | None) -> dict[str, Any]:
        """Return what is served: the keys, or the token of a job."""
        url = urlsplit(target)
        if url.path != "/token":
            self.fetches += 1
            return {"keys": self.keys}
        assert self.claims_of is not None
        assert authorization is not None
        word, _, environment = authorization.partition(" ask-")
        (audience,) = parse_qs(url.query)["audience"]
        assert word == "bearer"
        return {"value": self.token(self.claims_of(environment, audience))}

    def token(
        self,
        claims: Mapping[str, Any],
        *,
        key: Any = None,
        algorithm: str = "RS256",
        headers: Mapping[str, Any] | None = None,
    ) -> str:
        """Return a signed token; the header has the key's id unless `headers` say otherwise."""
        named = {"kid": "r1", **(headers or {})}
        chosen = self.rsa if key is None else key
        return jwt.encode(dict(claims), chosen, algorithm=algorithm, headers=named)


@contextmanager
def running_issuer() -> Iterator[LocalIssuer]:
    """Serve the keys of a new issuer over HTTP."""
    issuer = LocalIssuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # http.server calls it
            body = json.dumps(issuer.answer(self.path, self.headers["Authorization"])).encode()
            self.send_response(issuer.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer.url = f"http://127.0.0.1:{server.server_port}/keys.json"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join(60)
        server.server_close()


def part(value: Any) -> str:
    """Return a value as a part of a token that nobody signed."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
