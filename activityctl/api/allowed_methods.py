"""Which methods a path has: those for the header Allow of a 405 (RFC 9110, 15.5.6), and HEAD."""

import re
from typing import Final

from fastapi import Request
from starlette.routing import Match
from starlette.types import Scope

_METHODS: Final = ("DELETE", "GET", "PATCH", "POST", "PUT")
_HOOK: Final = re.compile(r"/v1/sources/[^/]*")
_ASKED: Final = "activityctl.allowed_methods"
"""In the scope with which the routes are only asked whether they have a method."""


def allowed_methods(request: Request) -> str:
    """Return the methods of all routes of the path, without the one that was refused.

    Those that a web hook may have beside POST are left out: only its event source knows them.
    """
    found = [method for method in _METHODS if method != request.method and _has(request, method)]
    if "GET" in found and has_head(request.url.path):
        found.append("HEAD")
    return ", ".join(found)


def has_head(path: str) -> bool:
    """Return whether a path with GET has HEAD: not a web hook, whose GET may be an event."""
    return _HOOK.fullmatch(path) is None


def is_only_asked(scope: Scope) -> bool:
    """Return whether the request is none: `allowed_methods` asks which methods a path has."""
    return _ASKED in scope


def _has(request: Request, method: str) -> bool:
    scope = {**request.scope, "method": method, _ASKED: True}
    return any(route.matches(dict(scope))[0] is Match.FULL for route in request.app.routes)
