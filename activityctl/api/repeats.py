"""Idempotency-Key of requests that change manifests: a repeat changes nothing more."""

import hashlib
from typing import Annotated, Final

from fastapi import Depends, Header, Request

from activityctl.domain.gitops.answered import RequestKey
from activityctl.errors import UsageError

_LONGEST: Final = 255
_OF_WAIT: Final = ("wait", "waitWithoutWorker")
REPEATED: Final = {"Idempotency-Replayed": "true"}
"""The header of the answer to a repeat."""


def _key(
    idempotency_key: Annotated[
        str | None, Header(description="a repeat within a day changes nothing more")
    ] = None,
) -> str | None:
    if idempotency_key is None:
        return None
    is_plain = idempotency_key.isascii() and idempotency_key.isprintable()
    if not is_plain or not 0 < len(idempotency_key) <= _LONGEST:
        raise UsageError(f"Idempotency-Key is not 1 to {_LONGEST} printable ASCII characters")
    return idempotency_key


GivenKey = Annotated[str | None, Depends(_key)]


def request_key(request: Request, actor: str, key: str | None, body: bytes) -> RequestKey | None:
    """Return what tells a repeat of the request; None if it has no key.

    The method, the path, the parameters and the body are what is asked for.
    """
    if key is None:
        return None
    params = sorted(pair for pair in request.query_params.multi_items() if pair[0] not in _OF_WAIT)
    head = repr((request.method, request.url.path, params)).encode()
    return RequestKey(actor, key, hashlib.sha256(head + b"\n" + body).hexdigest())
