"""Opens keystore files, version 3, as geth, cast and wallets write them."""

import json
import sys
from collections.abc import Mapping
from typing import Any, Final

from activityctl.adapters.keystore.secret_file import read_text
from activityctl.errors import InvalidInputError, reason_of

_LARGEST_SCRYPT: Final = 1024**3
"""In bytes: what scrypt may take for one file; geth's own files take 256 MiB."""
_VERSION: Final = 3
_MOST_ROUNDS: Final = 10_000_000


def read_keystore(path: str, password: str) -> str:
    """Return the private key in hex. InvalidInputError for a wrong password and another file."""
    try:
        content = json.loads(read_text(path))
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {reason_of(error)}") from None
    except (ValueError, RecursionError):
        raise _no_keystore(path) from None
    crypto = _crypto(path, content)
    if reason := _too_dear(crypto):
        raise InvalidInputError(f"{path} is refused: {reason}")
    try:
        return bytes(_account().decrypt(content, password)).hex()
    except ValueError as error:
        if "MAC" in str(error):
            raise InvalidInputError(f"the password does not open {path}") from None
        raise _no_keystore(path) from None
    except (KeyError, TypeError, AttributeError, NotImplementedError):
        raise _no_keystore(path) from None


def _account() -> Any:
    """Load eth-account without what a library below it does: it raises the limit of recursion.

    Beyond Python's own limit, deeply nested JSON ends the process instead of raising an error.
    """
    limit = sys.getrecursionlimit()
    try:
        from eth_account import Account
    finally:
        sys.setrecursionlimit(limit)
    return Account


def _crypto(path: str, content: Any) -> Mapping[str, Any]:
    if not isinstance(content, Mapping):
        raise _no_keystore(path)
    fields = {str(name).lower(): value for name, value in content.items()}
    crypto = fields.get("crypto")
    if fields.get("version") != _VERSION or not isinstance(crypto, Mapping):
        raise _no_keystore(path)
    return crypto


def _too_dear(crypto: Mapping[str, Any]) -> str | None:
    """Return why the key derivation of a file is not run; None if it may be."""
    params = crypto.get("kdfparams")
    numbers = {
        name: value
        for name, value in (params.items() if isinstance(params, Mapping) else ())
        if isinstance(value, int) and not isinstance(value, bool)
    }
    if numbers.get("c", 0) > _MOST_ROUNDS:
        return f"its key derivation has more than {_MOST_ROUNDS:,} rounds"
    n, r, p = (abs(numbers.get(name, 1)) for name in "nrp")
    if 128 * n * r > _LARGEST_SCRYPT or n * r * p > _LARGEST_SCRYPT // 128:
        return "its key derivation needs more than 1 GiB of memory, or as much work"
    return None


def _no_keystore(path: str) -> InvalidInputError:
    return InvalidInputError(
        f"{path} is not a keystore file of version 3",
        hint="import the private key in hex from standard input instead",
    )
