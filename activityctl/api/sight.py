"""What a caller may see and change. What it may not see is as absent: 404, with the same words."""

from typing import Final

from activityctl.domain.access.caller import Caller
from activityctl.domain.manifests.subscription import Subscription
from activityctl.domain.runs.dead_letter import DeadLetter
from activityctl.domain.runs.run import Run, TaskInstance
from activityctl.errors import AmbiguousError, NotAllowedError, NotFoundError
from activityctl.operations.runs.complete import find_task
from activityctl.operations.runs.letters import find_letter
from activityctl.wiring import Ports

_OF_ONE: Final = "add --subscription NAME for one of its subscriptions, or use the scope read"
_HINTS: Final = {
    **dict.fromkeys(("schedules", "runs", "tasks", "deadletters"), _OF_ONE),
    "logs": "name one of its subscriptions, or use the scope read",
    "subscriptions": "ask for one by its name, or use the scope read",
}
"""What a token can do that may not list all of a kind; by kind."""


class Sight:
    """Finds objects for one caller."""

    def __init__(self, ports: Ports, caller: Caller) -> None:
        self.ports = ports
        self.caller = caller

    async def subscription(self, reference: str) -> Subscription:
        """Return a subscription that the caller may see; else NotFoundError."""
        try:
            found = await self.ports.catalog.find_subscription(reference)
        except (AmbiguousError, NotFoundError):
            if self.caller.reads_all:
                raise
            raise absent("subscription", reference) from None
        if self.caller.reads_all or self._operates(found):
            return found
        raise absent("subscription", reference)

    async def run(self, reference: str) -> tuple[Run, Subscription]:
        """Return a run that the caller may see, and its subscription; else NotFoundError."""
        try:
            run = await self.ports.run_lists.find_run(reference)
        except (AmbiguousError, NotFoundError):
            if self.caller.reads_all:
                raise
            raise absent("run", reference) from None
        owner = await self.ports.catalog.find_subscription(run.subscription_id)
        if self.caller.reads_all or self._operates(owner):
            return run, owner
        raise absent("run", reference)

    async def task(self, reference: str) -> tuple[TaskInstance, Subscription]:
        """Return a task of a run that the caller may see, and its subscription."""
        try:
            task = await find_task(self.ports.run_lists, reference)
            _, owner = await self.run(task.run_id)
        except (AmbiguousError, NotFoundError):
            if self.caller.reads_all:
                raise
            raise absent("task", reference) from None
        return task, owner

    async def letter(self, reference: str) -> tuple[DeadLetter, Subscription]:
        """Return a dead letter of a run that the caller may see, and its subscription."""
        try:
            letter = await find_letter(self.ports.run_lists, reference)
            _, owner = await self.run(letter.run_id)
        except (AmbiguousError, NotFoundError):
            if self.caller.reads_all:
                raise
            raise absent("dead letter", reference) from None
        return letter, owner

    def require_operates(self, owner: Subscription) -> None:
        """Raise NotAllowedError if the caller may see the subscription, but not operate it."""
        if not self._operates(owner):
            raise NotAllowedError(
                f"this token may not operate {owner.name}",
                hint=f"activityctl tokens create NAME --scope operate:subscription={owner.name}",
            )

    def require_applies(self) -> None:
        """Raise NotAllowedError if the caller may change no manifest at all."""
        if not self.caller.may_apply_something:
            raise NotAllowedError(
                "this token may not apply manifests",
                hint="activityctl tokens create NAME --scope apply:set=SET",
            )

    def require_validates(self) -> None:
        """Raise NotAllowedError if the caller has nothing to do with manifests."""
        if not (self.caller.reads_all or self.caller.may_apply_something):
            raise NotAllowedError(
                "this token may neither read nor apply manifests",
                hint="activityctl tokens create NAME --scope apply:set=SET",
            )

    def require_operates_something(self) -> None:
        """Raise NotAllowedError if the caller may operate no subscription at all."""
        if not self.caller.may_operate_something:
            raise NotAllowedError(
                "this token may not operate subscriptions",
                hint="activityctl tokens create NAME --scope operate:label=KEY=VALUE",
            )

    def require_admin(self, what: str) -> None:
        """Raise NotAllowedError if the caller may not do everything; `what` it wants to do."""
        if not self.caller.is_admin:
            raise NotAllowedError(f"only a token with the scope admin may {what}")

    def require_all(self, kind: str) -> None:
        """Raise NotAllowedError if the caller may not read everything."""
        if kind == "audit":
            self.require_admin("read the audit")
        if not self.caller.reads_all:
            raise NotAllowedError(
                f"this token may not list all {kind}",
                hint=_HINTS.get(kind, "use the scope read"),
            )

    def _operates(self, owner: Subscription) -> bool:
        return self.caller.may_operate(owner.name, owner.labels)


def absent(kind: str, reference: str) -> NotFoundError:
    """Return the error for what is absent, or is not the caller's to see."""
    return NotFoundError(kind, reference)
