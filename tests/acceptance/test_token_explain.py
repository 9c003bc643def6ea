"""`tokens explain` says what a CI's token may do, or why it is refused."""

import json
import time
from pathlib import Path
from typing import Any

from support.forked import run_command
from support.issuer import AUDIENCE, ISSUER, running_issuer

FILE = f"""
issuers:
  - name: ci
    issuer: {ISSUER}
    audience: {AUDIENCE}
    jwksURL: KEYS
    rules:
      - claims: {{ref: refs/heads/main}}
        scopes: [read, "apply:set=shop"]
"""
WRONG = """
issuers:
  - name: ci
    issuer: https://ci.example
    audience: x
    jwksURL: http://ci.example/keys
    algorithms: [HS256, none]
    leeway: 5m
    rules:
      - claims: {}
        scopes: [write]
"""


def explain(stranger: Any, path: Path | None, token: str, *more: str, code: int = 0) -> Any:
    environment = {**stranger.environment}
    if path is not None:
        environment["ACTIVITYCTL_ISSUERS_FILE"] = str(path)
    done = run_command(
        "tokens",
        "explain",
        *more,
        environment=environment,
        folder=stranger.folder,
        stdin=token,
        timeout=90,
    )
    assert done.returncode == code, done.stderr
    return done


def test_a_token_is_explained(stranger: Any, tmp_path: Path):
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "job/7", "exp": time.time() + 600}
    path = tmp_path / "issuers.yaml"
    assert "ACTIVITYCTL_ISSUERS_FILE is not set" in explain(stranger, None, "x", code=2).stderr
    assert (
        "issuers.yaml cannot be read: there is no such file"
        in explain(stranger, path, "x", code=3).stderr
    )
    path.write_text(WRONG)
    problems = explain(stranger, path, "x", code=3).stderr.split("error: ")
    for line, reason in (
        (6, "issuers[0].jwksURL: should be an https URL"),
        (7, "issuers[0].algorithms[0]: is not one of RS256"),
        (7, "issuers[0].algorithms[1]: is not one of RS256"),
        (8, "issuers[0].leeway: is longer than 60s"),
        (10, "issuers[0].rules[0].claims: "),
        (11, "issuers[0].rules[0].scopes[0]: 'write' is not a scope"),
    ):
        found = [each for each in problems if f"issuers.yaml:{line}:" in each and reason in each]
        assert len(found) == 1, (reason, problems)
    with running_issuer() as issuer:
        path.write_text(FILE.replace("KEYS", issuer.url))
        main = issuer.token({**claims, "ref": "refs/heads/main"})
        shown = explain(stranger, path, main).stdout
        assert "actor    jwt/ci/job/7" in shown
        assert "scopes   read apply:set=shop" in shown
        view = json.loads(explain(stranger, path, main, "-o", "json").stdout)
        assert view["scopes"] == ["read", "apply:set=shop"]
        branch = issuer.token({**claims, "ref": "refs/heads/x\x1b[31m"})
        refused = explain(stranger, path, branch, code=6).stderr
        assert "no rule of issuer ci fits its claims" in refused
        assert "\x1b" not in refused
        old = explain(stranger, path, issuer.token({**claims, "exp": 1}), code=6).stderr
        assert "the token is not valid: it has expired" in old
