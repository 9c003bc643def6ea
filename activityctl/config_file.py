"""Reads and writes the user's config file: add, choose and remove profiles.

Strings, booleans, numbers and lists of them are written back. Comments are lost. What the settings
of a profile mean is in `settings`.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from activityctl.errors import ConflictError, InvalidInputError, NotFoundError, reason_of

PROFILE_KEYS: Final = frozenset(
    {
        "database_url",
        "database_password_ref",
        "temporal_address",
        "temporal_namespace",
        "temporal_api_key_ref",
        "temporal_former_payload_key_ref",
        "temporal_payload_key_ref",
        "temporal_ui",
        "api_certificate",
        "api_private_key",
        "api_url",
        "allow_commands",
        "allow_http",
        "allowed_folders",
        "allowed_networks",
        "allowed_variables",
        "log_format",
        "max_tasks",
        "event_retention",
        "issuers_file",
        "retention",
        "secrets_store",
        "secrets_folder",
        "secrets_key_file",
        "secrets_hosts",
        "server",
        "server_certificate",
        "server_insecure_http",
        "signer_address",
        "signer_certificate",
        "signer_token_ref",
        "token_ref",
        "trusted_proxies",
    }
)
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_FIRST_PRINTABLE: Final = " "
_DELETE: Final = "\x7f"

TomlDocument = dict[str, Any]


def config_path(env: Mapping[str, str]) -> Path:
    """Return the config file's path: `ACTIVITYCTL_CONFIG`, or the user's config folder."""
    if given := env.get("ACTIVITYCTL_CONFIG"):
        return Path(given)
    import platformdirs

    return Path(platformdirs.user_config_dir("activityctl")) / "config.toml"


def read_config(path: Path) -> TomlDocument:
    """Return the content of the file, empty if there is none. Raises InvalidInputError."""
    try:
        if not path.is_file():
            return {}
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidInputError(
            f"{path} cannot be read: {reason_of(error)}",
            hint="set ACTIVITYCTL_CONFIG to another file",
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{path} is not valid UTF-8", hint="fix the config file") from error
    except tomllib.TOMLDecodeError as error:
        raise InvalidInputError(f"{path}: {error}", hint="fix the config file") from error


def profiles_of(document: TomlDocument) -> dict[str, TomlDocument]:
    """Return the profiles by name; leave out values that are not tables."""
    profiles = document.get("profiles", {})
    if not isinstance(profiles, dict):
        return {}
    return {name: values for name, values in profiles.items() if isinstance(values, dict)}


def profile_in(document: TomlDocument, path: Path, name: str) -> TomlDocument:
    """Return a profile. Raises NotFoundError, or InvalidInputError for an unknown setting in it."""
    profiles = profiles_of(document)
    if name not in profiles:
        hint = f"activityctl config add {name}, or write [profiles.{name}] into {path}"
        raise NotFoundError("profile", name, hint=hint)
    if unknown := sorted(set(profiles[name]) - PROFILE_KEYS):
        raise InvalidInputError(
            f"{path}: profiles.{name}: unknown setting {unknown[0]!r}",
            hint="known settings: " + ", ".join(sorted(PROFILE_KEYS)),
        )
    return dict(profiles[name])


def add_profile(path: Path, name: str, values: Mapping[str, Any], *, replace: bool) -> bool:
    """Write a profile; return whether it is the default. None becomes the default by itself.

    Raises ConflictError if the profile exists already and `replace` is false.
    """
    if not _BARE_KEY.fullmatch(name):
        raise InvalidInputError(
            f"invalid name of a profile: {name!r}", hint="use letters, digits, _ and -"
        )
    document = read_config(path)
    profiles = profiles_of(document)
    if name in profiles and not replace:
        raise ConflictError(
            f'profile "{name}" already exists', hint=f"activityctl config add {name} --replace …"
        )
    _write(path, {**document, "profiles": {**profiles, name: dict(values)}})
    return document.get("default") == name


def use_profile(path: Path, name: str) -> None:
    """Make a profile the default. Raises NotFoundError if it does not exist."""
    document = read_config(path)
    profile_in(document, path, name)
    _write(path, {**document, "default": name})


def remove_profile(path: Path, name: str) -> bool:
    """Remove a profile. Return whether it was the default; then there is no default any more."""
    document = read_config(path)
    profiles = profiles_of(document)
    if name not in profiles:
        raise NotFoundError("profile", name, hint="activityctl config list")
    del profiles[name]
    was_default = document.get("default") == name
    kept = {key: document[key] for key in document if not (was_default and key == "default")}
    _write(path, {**kept, "profiles": profiles})
    return was_default


def to_toml(document: TomlDocument) -> str:
    """Return the document as TOML 1.0. Raises InvalidInputError for unsupported types."""
    return "\n".join(_lines(document, ())).lstrip("\n") + "\n"


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    inner = {key: value for key, value in table.items() if isinstance(value, dict)}
    plain = {key: value for key, value in table.items() if key not in inner}
    if path and (plain or not inner):
        yield f"\n[{'.'.join(map(_key, path))}]"
    for key, value in plain.items():
        yield f"{_key(key)} = {_value(value)}"
    for key, value in inner.items():
        yield from _lines(value, (*path, key))


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _quoted(key)


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return _quoted(value)
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case _:
            raise InvalidInputError(
                f"the config file has a {type(value).__name__}, which cannot be written back",
                hint="edit the file by hand",
            )


def _quoted(text: str) -> str:
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(char: str) -> str:
    if char < _FIRST_PRINTABLE or char == _DELETE:
        return _ESCAPES.get(char, f"\\u{ord(char):04x}")
    return _ESCAPES.get(char, char)


def _write(path: Path, document: TomlDocument) -> None:
    """Replace the file atomically; only its owner can read it."""
    from activityctl.private_file import write_private

    text = to_toml(document)
    target = path.resolve()
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(target, text)
    except (OSError, UnicodeEncodeError) as error:
        raise InvalidInputError(
            f"{path} cannot be written: {reason_of(error)}",
            hint="set ACTIVITYCTL_CONFIG to a file that you can write",
        ) from error
