"""How the body of a task says that its calls are sent."""

from urllib.parse import urlsplit

from activityctl.domain.chain.account import Account
from activityctl.domain.chain.execution_policy import execution_policy
from activityctl.domain.chain.hexadecimal import checksum_address
from activityctl.domain.chain.hook_outcome import HookError, HookOutcome, failed
from activityctl.domain.chain.relaying import RelayTerms, ServiceTerms
from activityctl.executors.relayed_body import RelayedBody
from activityctl.ports import RelayRequest, TaskCall


class NoRelay:
    """Sends nothing: every call fails, and the executor is told so."""

    async def has_begun(self, hook_key: str) -> bool:
        """Return that nothing was sent."""
        del hook_key
        return False

    async def execute(self, request: RelayRequest) -> HookOutcome:
        """Return the failure."""
        return failed(
            HookError.RELAYER_MISSING,
            f"the call to {request.executable.to} was not sent: there is no relayer here",
        )


def relay_terms(body: RelayedBody, account: Account) -> RelayTerms | None:
    """Return how our relayers send the calls; None if they do not."""
    relay, plugin = body.relay, body.plugin
    if relay is None or plugin is None or relay.relayers is None:
        return None
    policy = execution_policy(body.policy, account)
    fee = relay.max_fee_per_gas
    return RelayTerms(
        checksum_address(plugin),
        relay.relayers,
        relay.confirmations,
        None if fee is None else int(fee),
        None if policy is None else policy.max_gas,
        relay.replace_after,
    )


async def service_terms(body: RelayedBody, call: TaskCall) -> ServiceTerms | None:
    """Return the service that sends the calls, with its secret; None if there is none."""
    if body.relay is None or body.relay.service is None:
        return None
    service = body.relay.service
    if service.api_key is None:
        return ServiceTerms(service.url)
    host = urlsplit(service.url).hostname or ""
    key = await call.secret(service.api_key, host=host)
    return ServiceTerms(service.url, key)
