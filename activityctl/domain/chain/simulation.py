"""A simulated trigger: what caused it, and what is found out without sending anything."""

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from activityctl.domain.chain.conformance import Check
from activityctl.domain.chain.policy import Policy, SpendWindow, judge
from activityctl.domain.values.model import JsonValue
from activityctl.frozen_dataclass import frozen_dataclass

if TYPE_CHECKING:  # it loads the libraries of signatures
    from activityctl.domain.chain.executable import Executable


@frozen_dataclass
class SimulatedTrigger:
    """Why the executor would be asked."""

    name: str
    """The name of the trigger, or `manual`."""
    kind: str | None
    """Its kind; None for a run by hand."""
    due_at: datetime
    params: Mapping[str, JsonValue] = field(default_factory=dict)
    event: Mapping[str, JsonValue] | None = None
    request_id: str | None = None
    """The request id of a run of the past; None for a new one."""


@frozen_dataclass
class Simulated:
    """What would be sent, what was answered, and what would become of it."""

    url: str
    request: Mapping[str, Any]
    """The request of the trigger, with its signature."""
    headers: Mapping[str, str]
    response: JsonValue
    """The answer as JSON; as text if it is none. None if there is no answer."""
    transaction: Mapping[str, JsonValue] | None
    """The call of the plugin that a relayer would sign and send; None if there is none."""
    checks: Sequence[Check]

    @property
    def would_send(self) -> bool:
        """Whether nothing is known that would keep the call from being sent."""
        return all(check.verdict != "failed" for check in self.checks)

    def after(self, first: Check) -> "Simulated":
        """Return the same with a check before all others."""
        return replace(self, checks=(first, *self.checks))

    def as_json(self) -> dict[str, Any]:
        """Return the form for output."""
        return {
            "url": self.url,
            "request": dict(self.request),
            "headers": dict(self.headers),
            "response": self.response,
            "transaction": self.transaction,
            "checks": [check.as_json() for check in self.checks],
        }


def trigger_check(name: str, reason: str | None) -> Check:
    """Return whether an event fires a trigger; `reason` says why it does not."""
    if reason is None:
        return Check("trigger", "passed", f"the event fires {name}")
    return Check("trigger", "failed", f"the event does not fire {name}: {reason}")


def policy_check(
    policy: Policy | None, executable: "Executable", spent: Mapping[SpendWindow, int]
) -> Check:
    """Return the verdict of the policy on a call."""
    refusal = judge(policy, executable, spent)
    if refusal is None:
        return Check("policy", "passed", f"allows the call to {executable.to}")
    hint = "see: activityctl guide chain-policies"
    return Check("policy", "failed", f"{refusal.error}: {refusal.message}", hint)


def skipped_checks(names: Sequence[str], reason: str) -> list[Check]:
    """Return a check for each name that says why it was not done."""
    return [Check(name, "skipped", reason) for name in names]
