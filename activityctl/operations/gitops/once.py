"""Change the catalog once for a request, however often it is sent."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from activityctl.domain.gitops.answered import AnsweredRequest, RequestKey, answered
from activityctl.domain.gitops.plan import Plan
from activityctl.domain.values.json_form import View
from activityctl.errors import ConflictError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.ports import Catalog


@frozen_dataclass
class Done:
    """The plan of a request, and whether it was carried out before."""

    plan: Plan
    is_repeat: bool = False


async def once(
    catalog: Catalog,
    request: RequestKey | None,
    clock: Callable[[], datetime],
    work: Callable[[], Awaitable[Plan]],
    preview: View | None = None,
) -> Done:
    """Return the plan that `work` carries out, or what it was when the request came before.

    `preview` is kept for a repeat. Without a request key, the work is done each time. Raises
    ConflictError if the key was used for another request.
    """
    if request is None:
        return Done(await work())
    async with catalog.changing():
        if (before := await done_before(catalog, request)) is not None:
            return Done(before.plan, is_repeat=True)
        plan = await work()
        kept = answered(request.digest, plan, preview)
        await catalog.keep_answered(request.actor, request.key, kept, clock())
    return Done(plan)


async def done_before(catalog: Catalog, request: RequestKey) -> AnsweredRequest | None:
    """Return what the request has changed before; ConflictError if it was another request."""
    found = await catalog.answered(request.actor, request.key)
    if found is not None and found.digest != request.digest:
        raise ConflictError(
            "this Idempotency-Key was used for another request; nothing was changed",
            hint="send a new key with each new request",
        )
    return found
