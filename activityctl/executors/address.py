"""Reads the URL of an `http` task and adds its query; `destination` guards where it leads."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from activityctl.domain.values.destination import check_form
from activityctl.domain.values.secret_ref import SecretRef

if TYPE_CHECKING:
    import httpx


def is_path(url: str) -> bool:
    """Return whether the URL is only a path, which means the daemon's own API."""
    return url.startswith("/") and not url.startswith("//")


def parse_url(text: str) -> "httpx.URL":
    """Return the URL.

    Raise ValueError if it is none, DestinationForbiddenError if no setting could allow it.
    """
    import httpx

    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError(f"the URL is invalid: {error}") from error
    host = url.raw_host.decode("ascii")
    check_form(scheme=url.scheme, host=host, port=url.port, userinfo=bool(url.userinfo))
    return url


def with_query(url: str, query: Mapping[str, Sequence[str | SecretRef]]) -> str:
    """Return the URL with the pairs of the query at its end, in the order of their names.

    A secret that is not resolved stands there as its name.

    A list repeats its key. The order of the file is lost where definitions are stored. What the
    URL has is not changed, because a signature may cover it.
    """
    pairs = [
        f"{quote(name, safe='')}={quote(str(value), safe='')}"
        for name, values in sorted(query.items())
        for value in values
    ]
    if not pairs:
        return url
    address, mark, fragment = url.partition("#")
    joint = "&" if "?" in address else "?"
    if address.endswith(("?", "&")):
        joint = ""
    return f"{address}{joint}{'&'.join(pairs)}{mark}{fragment}"
