"""Names for the shell to complete; an empty list if they cannot be read quickly."""

import asyncio
from typing import TYPE_CHECKING

from activityctl.domain.values.selection import Selection

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from activityctl.wiring import Ports


def _ports() -> "AbstractAsyncContextManager[Ports]":
    """Open the ports that the settings name."""
    from activityctl import wiring
    from activityctl.settings import load_settings

    settings = load_settings()
    if settings.server is not None:
        return wiring.open_remote_ports(settings)
    return wiring.open_ports(settings)


def subscription_names(incomplete: str) -> list[str]:
    """Return the names of live subscriptions that begin with the text."""
    from activityctl.errors import ActivityctlError

    async def names() -> list[str]:
        async with asyncio.timeout(2), _ports() as ports:
            subscriptions = await ports.catalog.subscriptions(Selection(limit=1_000))
            return [
                subscription.name
                for subscription in subscriptions
                if subscription.name.startswith(incomplete)
            ]

    try:
        return asyncio.run(names())
    except (ActivityctlError, TimeoutError):
        return []


def source_names(incomplete: str) -> list[str]:
    """Return the names of live event sources that begin with the text."""
    from activityctl.errors import ActivityctlError

    async def names() -> list[str]:
        async with asyncio.timeout(2), _ports() as ports:
            sources = await ports.catalog.listed_sources(Selection(limit=1_000))
            return [source.name for source, _ in sources if source.name.startswith(incomplete)]

    try:
        return asyncio.run(names())
    except (ActivityctlError, TimeoutError):
        return []


def kinds(incomplete: str) -> list[str]:
    """Return the kinds that begin with the text."""
    from activityctl.operations.looking.kinds import KINDS

    return [kind for kind in KINDS if kind.startswith(incomplete)]


def guide_topics(incomplete: str) -> list[str]:
    """Return the pages of the guide whose topic begins with the text."""
    from activityctl.cli.guide_pages import read_pages

    return [page.topic for page in read_pages() if page.topic.startswith(incomplete)]


def key_names(incomplete: str) -> list[str]:
    """Return the names of this machine's keys that begin with the text."""
    from activityctl import wiring
    from activityctl.errors import ActivityctlError
    from activityctl.settings import load_settings

    try:
        known = wiring.open_keys(load_settings()).known()
    except (ActivityctlError, OSError):
        return []
    return [key.name for key in known if key.name.startswith(incomplete)]


def secret_names(incomplete: str) -> list[str]:
    """Return the names of this machine's secrets that begin with the text."""
    from activityctl import wiring
    from activityctl.errors import ActivityctlError
    from activityctl.settings import load_settings

    try:
        known = wiring.open_secrets(load_settings()).known()
    except (ActivityctlError, OSError):
        return []
    return [secret.name for secret in known if secret.name.startswith(incomplete)]
