"""The `state` context source: what a subscription has stored for its next run."""

from typing import ClassVar

from pydantic import BaseModel, Field

from activityctl.domain.values.model import JsonValue, Manifest, Name
from activityctl.errors import ConflictError, NotFoundError, TaskError
from activityctl.ports import Catalog, SourceCall


class StateBody(Manifest):
    """The fields of a `state` context: whose state to return."""

    subscription: Name | None = Field(
        default=None,
        description="The name of a subscription. Default: the subscription of the run.",
        examples=["eu-prices"],
    )


class StateSource:
    """Returns the present state of a subscription, a map; it is empty before the first success."""

    kind: ClassVar[str] = "state"
    body: ClassVar[type[BaseModel]] = StateBody

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def resolve(self, body: StateBody, call: SourceCall) -> JsonValue:
        """Return the state; raise TaskError if there is no such subscription."""
        wanted = body.subscription
        try:
            found = await self._catalog.find_subscription(wanted or call.run.subscription_id)
        except (NotFoundError, ConflictError):
            found = None
        if found is None or wanted not in (None, found.name):
            message = f'there is no subscription "{wanted or call.run.subscription}"'
            raise TaskError(message, code="not_found", retryable=False)
        return dict(found.state)
