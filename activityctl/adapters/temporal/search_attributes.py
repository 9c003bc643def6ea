"""Knows whether the namespace has the search attributes of runs, and how they are registered.

A start that has an unknown one is refused, and a workflow that sets one cannot go on. So they are
only used while the server has them.
"""

import logging
import shlex
from datetime import timedelta
from typing import Final

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError

from activityctl.workflows.titles import ATTRIBUTES

_RPC_TIMEOUT: Final = timedelta(seconds=5)
_KEYWORD_LIST: Final = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST
_LOG = logging.getLogger(__name__)


class SearchAttributes:
    """Whether runs get search attributes; none of them at first."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.are_used = False
        """Whether the namespace had all of them when it was last looked at."""

    async def look(self) -> None:
        """Ask the server which it has; without an answer none are used."""
        try:
            missing = await missing_attributes(self._client)
        except RPCError as error:
            _LOG.debug("Temporal does not say which search attributes it has: %s", error)
            self.are_used = False
            return
        self.are_used = not missing

    async def register(self) -> None:
        """Register the missing ones; a server that refuses it is used without them.

        The dev server's own option counts only when its file is new.
        """
        try:
            if missing := await missing_attributes(self._client):
                request = AddSearchAttributesRequest(
                    namespace=self._client.namespace,
                    search_attributes=dict.fromkeys(missing, _KEYWORD_LIST),
                )
                service = self._client.operator_service
                await service.add_search_attributes(request, timeout=_RPC_TIMEOUT)
        except RPCError as error:
            _LOG.warning("the search attributes of runs cannot be registered: %s", error)

    def refuse(self) -> None:
        """Use none until the server is asked again, because it has refused one."""
        if self.are_used:
            _LOG.warning("Temporal has no longer the search attributes of runs; none are used")
        self.are_used = False


async def missing_attributes(client: Client) -> tuple[str, ...]:
    """Return the names that the namespace does not have as lists of keywords; raises RPCError."""
    request = ListSearchAttributesRequest(namespace=client.namespace)
    answer = await client.operator_service.list_search_attributes(request, timeout=_RPC_TIMEOUT)
    found = answer.custom_attributes
    names = [key.name for key in ATTRIBUTES]
    return tuple(name for name in names if found.get(name) != _KEYWORD_LIST)


def registration(names: tuple[str, ...], address: str, namespace: str) -> str:
    """Return the command that registers them."""
    parts = ["temporal", "operator", "search-attribute", "create"]
    parts += ["--address", address, "--namespace", namespace]
    for name in names:
        parts += ["--name", name, "--type", "KeywordList"]
    return shlex.join(parts)
