"""The CI workflows that speak to the HTTP API: with the CI's own token, and without a secret."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from activityctl.daemon.local.state import read_state
from activityctl.settings import Secret, Settings
from support.api_server import running_api
from support.ci_runner import FILES, CiRunner
from support.forked import COMMAND
from support.issuer import AUDIENCE, ISSUER, LocalIssuer, running_issuer

COMMIT = "c0ffee0123456789c0ffee0123456789c0ffee02"
ISSUERS = f"""
issuers:
  - name: ci
    issuer: {ISSUER}
    audience: {AUDIENCE}
    jwksURL: KEYS
    rules:
      - claims: {{repository: acme/automations, environment: activityctl-plan}}
        scopes: [read]
      - claims: {{repository: acme/automations, environment: activityctl-apply}}
        scopes: ["apply:set=SET"]
"""


def claims_of(environment: str, audience: str) -> dict[str, Any]:
    return {
        "iss": ISSUER,
        "aud": audience,
        "sub": f"repo:acme/automations:environment:{environment}",
        "exp": time.time() + 300,
        "repository": "acme/automations",
        "environment": environment,
    }


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    with running_issuer() as running:
        running.claims_of = claims_of
        yield running


@pytest.mark.parametrize("service", ["github", "gitlab"])
def test_a_pull_request_and_a_merge_need_no_secret(
    shell: Any, issuer: LocalIssuer, service: str, tmp_path: Path
):
    word = f"ci-http-{service}"
    shell("init", ".", "--ci", f"{service}-http")
    sample = shell.folder / "definitions" / "hello.yaml"
    sample.write_text(
        sample.read_text("utf-8")
        .replace("name: hello", f"name: {word}")
        .replace("activity: hello", f"activity: {word}"),
        "utf-8",
    )
    issuers = tmp_path / "issuers.yaml"
    issuers.write_text(ISSUERS.replace("KEYS", issuer.url).replace("SET", word), "utf-8")
    state = read_state(shell.home)
    assert state is not None
    settings = Settings(
        home=tmp_path / "server",
        database_url=Secret(state.addresses["database_url"]),
        uses_local_daemon=False,
        issuers_file=str(issuers),
    )
    settings.home.mkdir()
    with running_api(settings) as server:
        workflow = shell.folder / FILES[service]
        workflow.write_text(
            workflow.read_text("utf-8")
            .replace(
                'ACTIVITYCTL_SERVER: ""', f"ACTIVITYCTL_SERVER: http://127.0.0.1:{server.port}"
            )
            .replace('ACTIVITYCTL_AUDIENCE: ""', f"ACTIVITYCTL_AUDIENCE: {AUDIENCE}")
            .replace("--applyset main", f"--applyset {word}"),
            "utf-8",
        )
        machine = tmp_path / "machine"
        place = machine / "activityctl" if service == "github" else shell.folder / ".activityctl"
        bin_folder = (place if service == "github" else place / "packages") / "bin"
        bin_folder.mkdir(parents=True)
        (bin_folder / "activityctl").symlink_to(COMMAND)  # it is installed already
        python = COMMAND.parent
        runner = CiRunner(service, shell.folder, machine, python, COMMIT, {}, {}, issuer=issuer)
        done = runner.run("validate", "plan")
        assert done.returncode == 0, f"{runner.printed}\n{done.stderr}"
        plan = (shell.folder / "plan.md").read_text("utf-8")
        assert plan.startswith("### activityctl plan\n\nPlan: 2 to create, 0 to configure, 0 to")
        assert shell("get", "def", word, code=None).returncode == 4

        done = runner.run("apply")
        assert done.returncode == 0, f"{runner.printed}\n{done.stderr}"
        assert f"subscription/{word}-world created" in runner.printed
    (change,) = shell.json("history", "def", word)["items"]
    assert change["sourceCommit"] == COMMIT
    assert change["actor"] == "jwt/ci/repo:acme/automations:environment:activityctl-apply"
    shell("delete", "sub", f"{word}-world", "--yes")
