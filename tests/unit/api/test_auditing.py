"""Every path that changes something calls what records the change."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import CodeType
from typing import Any, Final

from fastapi.routing import APIRoute

from activityctl.api import routes as package

AREAS: Final = tuple(
    importlib.import_module(f"{package.__name__}.{found.name}")
    for found in pkgutil.iter_modules(package.__path__)
)
CHANGE_NOTHING: Final = {
    "/manifests/validate",
    "/manifests/plan",
    "/manifests/diff",
    "/events/explain",
    "/sources/{name}/explain",
    "/subscriptions/{name}/backfill/progress",
}
OF_OTHERS: Final = {"/sources/{name}"}
"""Web hooks, whose senders have no token; what is refused is kept beside the source."""


def names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


def calls(function: Any, wanted: set[str], seen: set[Any]) -> bool:
    """Return whether a function, or one of this package that it calls, has one of the names."""
    if function in seen:
        return False
    seen.add(function)
    names = set(names_in(function.__code__))
    if names & wanted:
        return True
    known = [function.__globals__.get(name) for name in names]
    return any(
        calls(each, wanted, seen)
        for each in known
        if inspect.isfunction(each) and each.__module__.startswith(package.__name__)
    )


def test_every_path_that_changes_something_is_recorded():
    changing: dict[str, bool] = {}
    for area in AREAS:
        router = getattr(area, "router", None)
        for route in () if router is None else router.routes:
            if not isinstance(route, APIRoute) or route.methods <= {"GET", "HEAD"}:
                continue
            work = [each.call for each in route.dependant.dependencies]
            found = any(
                calls(each, {"recorded", "recorded_after", "recorded_unless_dry"}, set())
                for each in (route.endpoint, *work)
                if inspect.isfunction(each)
            )
            changing[route.path] = changing.get(route.path, False) or found
    unrecorded = {path for path, is_recorded in changing.items() if not is_recorded}
    assert unrecorded == CHANGE_NOTHING | OF_OTHERS
