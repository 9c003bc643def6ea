"""The search attributes are the same wherever they are named."""

from pathlib import Path
from typing import Any

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesResponse,
)
from temporalio.service import RPCError, RPCStatusCode

from activityctl.adapters.temporal.search_attributes import SearchAttributes
from activityctl.daemon.local.embedded_temporal import SEARCH_ATTRIBUTES
from activityctl.workflows.titles import ATTRIBUTES

ROOT = Path(__file__).parents[2]


def test_each_server_registers_what_runs_use() -> None:
    names = tuple(key.name for key in ATTRIBUTES)
    assert names == SEARCH_ATTRIBUTES
    compose = (ROOT / "docker-compose.dev.yml").read_text()
    page = (ROOT / "activityctl" / "guide" / "troubleshooting.md").read_text()
    for name in names:
        assert f"--name {name} --type KeywordList" in compose
        assert f"{name} = " in page


class Server:
    """A Temporal server with no attributes at first, which may refuse to register some."""

    namespace = "default"

    def __init__(self, *, refuses: bool = False) -> None:
        self.operator_service = self
        self.found: dict[str, IndexedValueType.ValueType] = {}
        self.refuses = refuses

    async def list_search_attributes(self, *_: object, **__: object) -> Any:
        return ListSearchAttributesResponse(custom_attributes=self.found)

    async def add_search_attributes(self, request: AddSearchAttributesRequest, **_: object) -> None:
        if self.refuses:
            raise RPCError("not you", RPCStatusCode.PERMISSION_DENIED, b"")
        self.found.update(request.search_attributes)


@pytest.mark.parametrize("refuses", [False, True])
async def test_the_server_of_an_older_home_gets_the_missing_ones(*, refuses: bool) -> None:
    server: Any = Server(refuses=refuses)
    attributes = SearchAttributes(server)
    await attributes.look()
    assert not attributes.are_used
    for _ in range(2):
        await attributes.register()
    await attributes.look()
    assert attributes.are_used is not refuses
    assert set(server.found) == (set() if refuses else set(SEARCH_ATTRIBUTES))
