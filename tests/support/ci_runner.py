"""Runs the jobs of the CI workflows that `init` creates, as the services of GitHub and GitLab do.

Each step is a process of its own. A job gets only the secrets of the environment that it names.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from support.issuer import LocalIssuer

FILES = {"github": ".github/workflows/activityctl.yml", "gitlab": ".gitlab-ci.yml"}
EXPRESSION = re.compile(r"\$\{\{ *(.+?) *\}\}")
FAKE_GH = '#!/bin/sh\ncp "$5" "$(dirname "$0")/comment.md"\n'


def jobs_of(folder: Path, service: str) -> dict[str, Any]:
    """Return the jobs of the workflow by their names."""
    workflow = yaml.safe_load((folder / FILES[service]).read_text("utf-8"))
    if service == "github":
        return dict(workflow["jobs"])
    return {
        name: job for name, job in workflow.items() if isinstance(job, dict) and "script" in job
    }


@dataclass
class CiRunner:
    """A machine of a CI service with one checked-out repository.

    `python` is the bin folder of a Python without packages, `secrets` maps an environment to its
    variables. An installation is kept from one job to the next.
    """

    service: str
    folder: Path
    machine: Path
    python: Path
    commit: str
    variables: Mapping[str, str]
    secrets: Mapping[str, Mapping[str, str]]
    issuer: LocalIssuer | None = None
    """Makes the tokens of jobs that may have one."""
    outputs: dict[str, str] = field(default_factory=dict)
    printed: str = ""

    def run(self, *jobs: str) -> subprocess.CompletedProcess[str]:
        """Run the jobs until a step fails, and return the last step with all that was printed."""
        self.printed = ""
        self.machine.mkdir(exist_ok=True)
        gh = self.machine / "gh"
        gh.write_text(FAKE_GH)
        gh.chmod(0o755)
        done = None
        for job in jobs:
            for done in self._steps(job):
                if done.returncode:
                    return done
        assert done is not None
        return done

    def _steps(self, name: str) -> Iterator[subprocess.CompletedProcess[str]]:
        job = jobs_of(self.folder, self.service)[name]
        environment = job.get("environment", "")
        if isinstance(environment, dict):
            environment = environment["name"]
        secrets = dict(self.secrets.get(environment, {}))
        if self.service == "gitlab":
            secrets |= self._tokens(job, environment)
            yield self._process("\n".join(["set -o pipefail", *job["script"]]), secrets)
            return
        files = {key: self.machine / key for key in ("GITHUB_PATH", "GITHUB_OUTPUT")}
        for path in files.values():
            path.write_text("")
        for step in job["steps"]:
            if "uses" in step:
                continue
            own = {
                key: EXPRESSION.sub(lambda found: self._value(found[1], secrets), str(value))
                for key, value in step.get("env", {}).items()
            }
            own |= {key: str(path) for key, path in files.items()}
            if self.issuer is not None and job["permissions"].get("id-token") == "write":
                own["ACTIONS_ID_TOKEN_REQUEST_URL"] = self.issuer.token_url
                own["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = f"ask-{environment}"
            yield self._process(step["run"], own, files["GITHUB_PATH"].read_text().split())
            lines = files["GITHUB_OUTPUT"].read_text().splitlines()
            self.outputs |= {
                f"needs.{name}.outputs.{key}": value
                for key, _, value in (line.partition("=") for line in lines)
            }

    def _tokens(self, job: Mapping[str, Any], environment: str) -> dict[str, str]:
        """Return the tokens that GitLab gives to a job; `aud` names one of the variables."""
        found = {}
        for name, asked in job.get("id_tokens", {}).items():
            assert self.issuer is not None
            assert self.issuer.claims_of is not None
            declared = yaml.safe_load((self.folder / FILES[self.service]).read_text("utf-8"))
            audience = declared["variables"][asked["aud"].removeprefix("$")]
            found[name] = self.issuer.token(self.issuer.claims_of(environment, audience))
        return found

    def _value(self, expression: str, secrets: Mapping[str, str]) -> str:
        context, _, name = expression.partition(".")
        if context == "secrets":
            return secrets.get(name, "")
        return self.outputs[expression] if context == "needs" else expression

    def _process(
        self, script: str, variables: Mapping[str, str], path: list[str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("ACTIVITYCTL", "TEMPORAL", "PYTHON", "VIRTUAL_ENV"))
        }
        commit = {"github": "GITHUB_SHA", "gitlab": "CI_COMMIT_SHA"}[self.service]
        places = [*(path or []), str(self.machine), str(self.python), os.environ["PATH"]]
        declared = yaml.safe_load((self.folder / FILES[self.service]).read_text("utf-8"))
        declared = declared["env" if self.service == "github" else "variables"]
        environment = {
            **kept,
            **declared,
            **self.variables,
            "PATH": ":".join(places),
            "HOME": str(self.machine),
            "RUNNER_TEMP": str(self.machine),
            "COLUMNS": "200",
            "PIP_NO_COMPILE": "1",  # most of what is installed is never imported
            commit: self.commit,
            **variables,
        }
        if self._is_installed() and "install.sh" in script:
            script = "true"
        done = subprocess.run(
            ["bash", "-e", "-c", script],
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        self.printed += done.stdout
        return done

    def _is_installed(self) -> bool:
        places = (self.machine / "activityctl", self.folder / ".activityctl" / "packages")
        return any((place / "bin" / "activityctl").exists() for place in places)
