"""JSON answers, in the same form as `-o json` of the command line."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response


def json_response(
    view: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return the answer with this JSON."""
    text: Any = json.dumps(view, ensure_ascii=False, allow_nan=False)
    return Response(
        text.encode("utf-8", "replace"), status, dict(headers or {}), media_type="application/json"
    )
