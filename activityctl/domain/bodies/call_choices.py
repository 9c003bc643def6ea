"""Refuses a credential in an `http` or `ai` call whose host an expression may choose.

The addresses of a call are checked when it is made. That does not keep a stranger's event from
choosing a host of the stranger, which would get the credential.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from activityctl.domain.bodies.command_choices import reads_only_names
from activityctl.domain.cel.templates import TemplateExpression, template_parts
from activityctl.domain.values.credentials import is_credential
from activityctl.domain.values.finding import Finding
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.secret_ref import refs_in

HTTP: Final = "http"
URL_FIELDS: Final[Mapping[str, str]] = {HTTP: "url", "ai": "baseUrl"}
"""By kind, the field that names the host."""
_OPEN: Final = "\0"
"""Stands for a value that may come from a stranger."""
_BASE: Final = "https://x"
"""Stands for a value at the beginning of a URL that comes from whoever applies."""
_WITH_HOST: Final = re.compile(r"(?i)(?:https?://[^/?#\\\\\0]+(?:[/?#]|$)|/(?![/\\\\\0]))")
"""A URL up to the end of its host, or a path of the daemon's own API."""
_REASON: Final = (
    "would be sent to a host that a value chooses; write out the host of {field}, or take it from "
    "params alone"
)


def check_credentials_of_calls(
    body: JsonValue, trusted: frozenset[str], field: str = "url"
) -> Iterator[Finding]:
    """Yield each secret, and each credential in headers, query and form, for a chosen host."""
    if not isinstance(body, Mapping) or _has_known_host(body.get(field), trusted):
        return
    reason = _REASON.format(field=field)
    secrets = {path for path, _ in refs_in(body)}
    yield from (Finding(path, f"the secret {reason}") for path in sorted(secrets, key=str))
    auth = body.get("auth")
    if isinstance(auth, Mapping) and not any(path[0] == "auth" for path in secrets):
        yield Finding(("auth",), f"auth {reason}", at_key=True)
    if body.get("apiKey") not in (None, "") and ("apiKey",) not in secrets:
        yield Finding(("apiKey",), f"apiKey {reason}", at_key=True)
    for part in ("headers", "query", "form"):
        values = body.get(part)
        for name, value in values.items() if isinstance(values, Mapping) else ():
            is_empty = value in (None, "") or (part, name) in secrets
            if not is_empty and is_credential(part, name):
                yield Finding((part, name), f"{name} {reason}")


def _has_known_host(url: JsonValue, trusted: frozenset[str]) -> bool:
    if not isinstance(url, str):
        return True
    text = ""
    for part in template_parts(url):
        if isinstance(part, str):
            text += part
        elif isinstance(part, TemplateExpression):
            is_trusted = reads_only_names(part.source, trusted)
            text += (_BASE if not text else "x") if is_trusted else _OPEN
    return _WITH_HOST.match(text) is not None
