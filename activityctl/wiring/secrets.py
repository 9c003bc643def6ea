"""Creates the stores of secrets and keys that the settings name."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from activityctl.domain.values.json_form import View
from activityctl.errors import UsageError
from activityctl.settings import Settings

if TYPE_CHECKING:
    from activityctl.adapters.keystore.key_stores import KeyStores
    from activityctl.adapters.keystore.secret_stores import SecretStores


def open_secrets(
    settings: Settings, *, on_read: Callable[[str], None] = lambda _: None
) -> "SecretStores":
    """Return the secrets of this machine; `on_read` hears every value that is read."""
    from activityctl.adapters.keystore.secret_stores import SecretPlaces, SecretStores

    folder = settings.secrets_folder
    places = SecretPlaces(
        settings.home,
        settings.secrets_store,
        None if folder is None else Path(folder),
        settings.secrets_key_file,
        settings.secret_variables,
        _hosts(settings.secrets_hosts or ""),
    )
    return SecretStores(places, on_read=on_read)


def with_found_secrets(settings: Settings, view: View) -> View:
    """Return the view of a definition or subscription, with which of its secrets are here."""
    if "secrets" not in view:
        return view
    known = {secret.name for secret in open_secrets(settings).known()}
    secrets = [{"name": name, "isFoundHere": name in known} for name in view["secrets"]]
    return {**view, "secrets": secrets}


def open_keys(
    settings: Settings, *, on_read: Callable[[str], None] = lambda _: None
) -> "KeyStores":
    """Return the keys of this machine; `on_read` hears every secret text that is read."""
    from activityctl.adapters.keystore.key_stores import KeyStores

    return KeyStores(
        settings.home,
        store=settings.secrets_store,
        key_file=settings.secrets_key_file,
        on_read=on_read,
    )


def read_keystore(path: str, password: str) -> str:
    """Return the private key of a keystore file in hex; InvalidInputError if it is not opened."""
    from activityctl.adapters.keystore.keystore_v3 import read_keystore as read

    return read(path, password)


def read_hosts(name: str, text: str) -> tuple[str, ...]:
    """Return the hosts of a list; InvalidInputError for what is no host."""
    from activityctl.adapters.keystore.secret_stores import hosts_of

    return hosts_of(name, text)


def _hosts(text: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for part in text.split():
        name, equals, hosts = part.partition("=")
        if not equals or not hosts:
            raise UsageError(
                f"secrets_hosts has {part!r}, which is not NAME=HOST",
                hint="write for example crm-token=api.crm.example,*.crm.example",
            )
        found[name] = read_hosts(name, hosts)
    return found
