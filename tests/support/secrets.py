"""Secrets for tests: a reader of some values, and calls of executors that may use them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from activityctl.errors import NotFoundError, TaskError
from activityctl.ports import FoundSecret, TaskCall
from activityctl.steps.held_secrets import HeldSecrets
from activityctl.steps.limited import parse_body


class Known:
    """A reader of these secrets; `hosts` binds some of them."""

    def __init__(
        self, values: Mapping[str, str], hosts: Mapping[str, tuple[str, ...]] | None = None
    ) -> None:
        self.values = dict(values)
        self.hosts = hosts or {}

    async def read(self, name: str) -> FoundSecret:
        if name not in self.values:
            raise NotFoundError("secret", name, hint=f"activityctl secrets set {name}")
        return FoundSecret(self.values[name], "test", self.hosts.get(name, ()))


async def attempt(executor: Any, body: Any, call: TaskCall, reader: Known) -> tuple[str, Any]:
    """Run one attempt as the `execute` step does; return the error and the output that it stores.

    One of them is empty.
    """
    held = HeldSecrets(reader)
    call = replace(call, secret=held.resolve, mask=held.mask)
    try:
        outcome = await executor.execute(parse_body(executor, body), call)
    except TaskError as error:
        shown = held.masked(error)
        return f"{shown.message} {shown.output}", None
    return "", held.mask.json(outcome.output)
