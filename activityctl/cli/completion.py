"""Names for the shell to complete; silent whenever they cannot be had at once."""

import asyncio

from activityctl.domain.values.selection import Selection


def subscription_names(incomplete: str) -> list[str]:
    """Return the live subscriptions that begin so."""
    from activityctl import wiring
    from activityctl.errors import ActivityctlError
    from activityctl.settings import load_settings

    async def names() -> list[str]:
        async with asyncio.timeout(2), wiring.open_ports(load_settings()) as ports:
            found = await ports.catalog.subscriptions(Selection(limit=1_000))
            return [one.name for one in found if one.name.startswith(incomplete)]

    try:
        return asyncio.run(names())
    except (ActivityctlError, TimeoutError):
        return []


def kinds(incomplete: str) -> list[str]:
    """Return the kinds that begin so."""
    from activityctl.operations.looking.get import KINDS

    return [kind for kind in KINDS if kind.startswith(incomplete)]
