"""The `webhook` task that a simulation is about, read from its definition."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from pydantic import ValidationError

from activityctl.domain.chain.account import Account
from activityctl.domain.chain.hook_payloads import HookContext
from activityctl.domain.chain.keys import KeyKind, KnownKey
from activityctl.domain.chain.simulation import SimulatedTrigger
from activityctl.domain.manifests.subscription import Subscription, account_of
from activityctl.domain.values.finding import findings_of
from activityctl.domain.values.ids import canonical_json
from activityctl.domain.values.model import JsonValue
from activityctl.errors import InvalidInputError, UsageError
from activityctl.executors.webhook_body import WebhookBody
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import HookLedger, KeyReader


@frozen_dataclass
class SimulatedTask:
    """A `webhook` task of a live definition, and for whom it works."""

    subscription: Subscription
    account: Account
    body: WebhookBody
    context: HookContext
    """What the ledger knows of the earlier triggers, now."""
    trigger: SimulatedTrigger
    keys: Sequence[str]
    """The valid HMAC keys, the current one first."""
    sender: str | None
    """The address of the first relayer; None if it is not known here."""


class KnownKeys(KeyReader, Protocol):
    """Keys that can be read, and listed without being opened."""

    def known(self) -> Sequence[KnownKey]:
        """Return the keys of this machine."""
        ...


async def simulated_task(
    ledger: HookLedger,
    owner: Subscription,
    written: tuple[str, JsonValue],
    trigger: SimulatedTrigger,
    keys: KnownKeys,
) -> SimulatedTask:
    """Return the task whose name and body are `written`, with its HMAC key.

    Raises InvalidInputError if the body is not complete without a run, UsageError if the
    subscription has no account, and what KeyReader raises.
    """
    account = account_of(owner)
    found = await ledger.owner(owner.id)
    if account is None or found is None:
        hint = "add account with chainId and subAccountAddress to it"
        raise UsageError(f"subscription {owner.name} has no account", hint=hint)
    body = _body(*written)
    held = await keys.read(body.hmac_key, KeyKind.HMAC)
    secrets = tuple(version.secret for version in held.valid(datetime.now(UTC)))
    names = (body.relay.relayers if body.relay is not None else None) or ()
    addresses = {
        key.name: key.current.public for key in keys.known() if key.kind is KeyKind.RELAYER
    }
    sender = next((addresses[name] for name in names if name in addresses), None)
    return SimulatedTask(owner, account, body, found.context, trigger, secrets, sender)


def _body(task: str, written: JsonValue) -> WebhookBody:
    try:
        return WebhookBody.model_validate_json(canonical_json(written))
    except ValidationError as error:
        found = findings_of(error, WebhookBody)[0]
        path = ".".join(map(str, ("webhook", *found.path)))
        message = f"task {task} cannot be simulated: {path}: {found.reason}"
        raise InvalidInputError(message) from None
