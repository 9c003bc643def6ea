"""A team's folder of manifests on a shared daemon, and the commands of its CI."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activityctl.daemon.local.state import read_state
from support.forked import run_command


@dataclass(frozen=True)
class Repository:
    """A team's folder of manifests on the shared daemon; a tag makes its names unique."""

    shell: Any
    tag: str

    @property
    def files(self) -> Path:
        return self.shell.folder / "definitions"

    def name(self, word: str) -> str:
        return f"{self.tag}-{word}"

    def define(self, word: str = "report", **spec: Any) -> None:
        body = {
            "params": {"type": "object", "properties": {"n": {"type": "integer"}}},
            "triggers": [{"name": "yearly", "cron": {"schedule": "0 3 1 1 *"}}],
            "tasks": [{"name": "one", "command": {"argv": ["echo", "${ params.n }"]}}],
            **spec,
        }
        self.write(word, "ActivityDefinition", body)

    def subscribe(self, word: str = "sub", activity: str = "report", **spec: Any) -> None:
        body = {"activity": self.name(activity), "params": {"n": 1}, **spec}
        self.write(word, "Subscription", body)

    def write(self, word: str, kind: str, spec: Any) -> None:
        metadata = {"name": self.name(word)}
        document = {"apiVersion": "activityctl/v1", "kind": kind, "metadata": metadata}
        self.files.mkdir(exist_ok=True)
        text = yaml.safe_dump({**document, "spec": spec}, sort_keys=False)
        (self.files / f"{word}.yaml").write_text(text)

    def remove(self, word: str) -> None:
        (self.files / f"{word}.yaml").unlink()

    def __call__(self, *arguments: str, code: int = 0, **options: Any) -> Any:
        return self.shell(*arguments, code=code, **options)

    def actions(self, *arguments: str, code: int = 0) -> dict[str, str]:
        view = self.shell.json("apply", "-f", "definitions", *arguments, code=code)
        return {
            change["name"].removeprefix(f"{self.tag}-"): change["action"]
            for change in view["changes"]
        }

    def live(self, word: str = "sub") -> Any:
        items = self.shell.json("get", "sub", "--limit", "10000")["items"]
        return next((item for item in items if item["name"] == self.name(word)), None)

    def names(self) -> set[str]:
        """Return the names of all live objects of this team, without the tag."""
        items = json.loads(self.shell("export", "-o", "json").stdout)["items"]
        found = {item["metadata"]["name"] for item in items}
        mine = f"{self.tag}-"
        return {name.removeprefix(mine) for name in found if name.startswith(mine)}

    def history(self, word: str = "sub", kind: str = "sub") -> Any:
        return self.shell.json("history", kind, self.name(word))["items"]


def with_environment(repository: Repository, *arguments: str, **variables: str) -> None:
    done = run_command(
        *arguments,
        environment={**repository.shell.environment, **variables},
        folder=repository.shell.folder,
    )
    assert done.returncode == 0, done.stderr


async def in_temporal(repository: Repository, word: str) -> bool:
    """Return whether Temporal has the alarm of that subscription's yearly schedule."""
    listed = repository.shell.json("get", "schedules", "--limit", "10000")["items"]
    name = repository.name(word)
    alarms = {row["alarm"] for row in listed if row["subscription"] == name} - {None}
    address = read_state(repository.shell.home).addresses["temporal_address"]
    client = await Client.connect(address)
    for alarm in alarms:
        try:
            await client.get_schedule_handle(alarm).describe()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
    return bool(alarms)


def runs(repository: Repository, status: str) -> Any:
    name = repository.name("sub")
    return repository.shell.json("get", "runs", "-s", name, "--status", status)["items"]
