"""Which methods a path has, for the header Allow of a 405 (RFC 9110, 15.5.6)."""

from typing import Final

from fastapi import Request
from starlette.routing import Match

_METHODS: Final = ("DELETE", "GET", "PATCH", "POST", "PUT")


def allowed_methods(request: Request) -> str:
    """Return the methods of all routes of the path, without the one that was refused."""
    found = [method for method in _METHODS if method != request.method and _has(request, method)]
    if "GET" in found:
        found.append("HEAD")
    return ", ".join(found)


def _has(request: Request, method: str) -> bool:
    scope = {**request.scope, "method": method}
    return any(route.matches(dict(scope))[0] is Match.FULL for route in request.app.routes)
