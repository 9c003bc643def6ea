"""Settings: flag, then environment, then config file profile, then the local daemon.

The only reader of the environment. Resolved once, passed down; the file is `config_file`.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Final

from activityctl.config_file import PROFILE_KEYS, config_path, profile_in, read_config
from activityctl.errors import InvalidInputError, UnreachableError, UsageError
from activityctl.secret import Secret, SecretReference, reference_of

__all__ = [
    "LOCAL_RIGHTS",
    "PROFILE_KEYS",
    "SECRET_ADDRESSES",
    "Secret",
    "SettingSource",
    "Settings",
    "config_path",
    "default_home",
    "load_settings",
    "masked_url",
    "setting_sources",
    "user_config_path",
]

Network = IPv4Network | IPv6Network
_Sourced = dict[str, tuple[Any, str]]
"""Values by setting, each with the place it comes from."""

DAEMON_FILE: Final = "daemon.json"
LOCAL_RIGHTS: Final = {
    "allow_commands": "true",
    "allow_http": "true",
    "allowed_networks": "127.0.0.0/8,::1/128",
}
"""What the local daemon's worker may do, unless the environment of `up` says otherwise."""
ACTOR_VARIABLES: Final = ("ACTIVITYCTL_ACTOR", "GITHUB_ACTOR", "GITLAB_USER_LOGIN")
COMMIT_VARIABLES: Final = ("ACTIVITYCTL_SOURCE_COMMIT", "GITHUB_SHA", "CI_COMMIT_SHA")
INHERITED: Final = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "SHELL",
    "ACTIVITYCTL_SUPERVISED",  # the daemon's mark: it ends what a killed worker left at work
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the program was told, from all places, in the order of precedence."""

    home: Path
    """Where the local daemon keeps its state; one home, one daemon."""
    profile: str | None = None
    database_url: Secret | None = None
    database_password_ref: SecretReference | None = None
    temporal_address: str | None = None
    temporal_namespace: str = "default"
    temporal_api_key_ref: SecretReference | None = None
    api_url: str | None = None
    """Where the daemon's own HTTP face answers; http tasks may name just a path of it."""
    temporal_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Temporal's own `TEMPORAL_*` variables, and where its profile file is looked for."""
    uses_local_daemon: bool = True
    """True while neither flag, environment nor profile names a database."""
    allow_commands: bool = False
    """Whether the worker may run `command` tasks."""
    allow_http: bool = False
    """Whether tasks may call plain http URLs, not https alone."""
    allowed_networks: tuple[Network, ...] = ()
    """Networks that tasks may call although they are private, loopback or reserved."""
    task_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The variables that commands of tasks inherit; never the worker's secrets."""
    actor: str | None = None
    """Who acts, as a CI names them; None leaves it to the machine's user."""
    source_commit: str | None = None
    """The commit that a CI works on; None leaves it to git."""
    max_tasks: int = 50
    """How many tasks a worker runs at once."""
    event_retention: timedelta = timedelta(days=30)
    """How long events are kept; zero keeps them for ever."""

    def required_database_url(self) -> str:
        """Return the database's URL; UnreachableError when no daemon runs here.

        The password may be kept elsewhere: `wiring.database_url` gives the URL with it.
        """
        if self.database_url is None:
            raise UnreachableError(
                f"no activityctl daemon runs for {self.home}", hint="activityctl up -d"
            )
        return self.database_url.value

    def required_temporal_address(self) -> str:
        """Return Temporal's `host:port`; UnreachableError when none is known."""
        if self.temporal_address is None:
            raise UnreachableError("no Temporal address is set", hint="activityctl up -d")
        return self.temporal_address


def default_home(environment: Mapping[str, str]) -> Path:
    """Return `ACTIVITYCTL_HOME`, or the user's data folder (XDG, macOS)."""
    if given := environment.get("ACTIVITYCTL_HOME"):
        return Path(given).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("activityctl"))


def load_settings(
    flags: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """Resolve the settings; flags hold `home`, `profile` and any profile key, or None.

    Raises InvalidInputError for a broken config file or value, NotFoundError for an
    unknown profile, UsageError for a half-given pair of addresses.
    """
    env = os.environ if environment is None else environment
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    home = Path(given["home"]).absolute() if "home" in given else default_home(env)
    profile_name, sourced = _merged(given, env, home)
    merged = {key: value for key, (value, _) in sourced.items()}
    return Settings(
        home=home,
        profile=profile_name,
        database_url=Secret(str(merged["database_url"])) if merged.get("database_url") else None,
        database_password_ref=_reference("database_password_ref", sourced, env),
        temporal_address=merged.get("temporal_address"),
        temporal_namespace=str(merged.get("temporal_namespace", "default")),
        temporal_api_key_ref=_reference("temporal_api_key_ref", sourced, env),
        api_url=merged.get("api_url"),
        temporal_environment={
            key: value
            for key, value in env.items()
            if key.startswith("TEMPORAL_") or key in {"HOME", "XDG_CONFIG_HOME"}
        },
        uses_local_daemon=sourced.get("database_url", _UNSET)[1] in {_UNSET[1], _LOCAL_DAEMON},
        allow_commands=_boolean("allow_commands", merged.get("allow_commands", False)),
        allow_http=_boolean("allow_http", merged.get("allow_http", False)),
        allowed_networks=_networks(merged.get("allowed_networks", ())),
        actor=_first(env, ACTOR_VARIABLES),
        source_commit=_first(env, COMMIT_VARIABLES),
        task_environment={key: env[key] for key in INHERITED if env.get(key)},
        max_tasks=_positive("max_tasks", merged.get("max_tasks", 50)),
        event_retention=_span("event_retention", merged.get("event_retention", "30d")),
    )


@dataclass(frozen=True, slots=True)
class SettingSource:
    """One setting, its value as it may be shown, and where it comes from."""

    name: str
    value: str | int | bool | list[str] | None
    source: str


def setting_sources(
    flags: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
) -> list[SettingSource]:
    """Return every setting as `load_settings` resolves it, with its source; passwords masked.

    What only a worker heeds is as the local daemon's worker has it, where that one is used.
    """
    env = os.environ if environment is None else environment
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    settings = load_settings(given, env)
    _, sourced = _merged(given, env, settings.home)
    if settings.uses_local_daemon:
        settings, sourced = _in_local_daemon(settings, sourced)
    home = "flag --home" if "home" in given else "environment ACTIVITYCTL_HOME"
    if "home" not in given and not env.get("ACTIVITYCTL_HOME"):
        home = _UNSET[1]
    found = [SettingSource("home", str(settings.home), home)]
    for key in sorted(PROFILE_KEYS):
        value = getattr(settings, key)
        source = sourced.get(key, _UNSET)[1]
        if isinstance(value, Secret):
            value = masked_url(value.value)
        if isinstance(value, SecretReference):
            value = str(value)
        if isinstance(value, tuple):
            value = [str(one) for one in value]
        if isinstance(value, timedelta):
            value = _span_text(value)
        found.append(SettingSource(key, value, source))
    return found


def _in_local_daemon(settings: Settings, sourced: _Sourced) -> tuple[Settings, _Sourced]:
    """Return what applies in the local daemon's worker, which reads no profile."""
    rights = {
        name: (value, "local daemon, unless up was told otherwise")
        for name, value in LOCAL_RIGHTS.items()
        if sourced.get(name, _UNSET)[1].startswith((_UNSET[1], "profile "))
    }
    told = {**sourced, **rights}
    applied = replace(
        settings,
        allow_commands=_boolean("allow_commands", told["allow_commands"][0]),
        allow_http=_boolean("allow_http", told["allow_http"][0]),
        allowed_networks=_networks(told["allowed_networks"][0]),
    )
    return applied, told


def user_config_path() -> Path:
    """Return where this user's config file is, whether it exists or not."""
    return config_path(os.environ)


def masked_url(url: str) -> str:
    """Return a database URL without its password; `***` for what is no URL."""
    if "://" not in url:
        return "***"
    hidden = re.sub(r"(?s)(?<=://)([^:@/]*):.*@", r"\1:***@", url)
    return re.sub(r"(?i)(?<=[?&])([a-z]*password[a-z]*)=[^&]*", r"\1=***", hidden)


SECRET_ADDRESSES: Final = {
    "database_password_ref": "database_url",
    "temporal_api_key_ref": "temporal_address",
}
"""The address that each secret belongs to."""
_UNSET: Final = (None, "default")
_LOCAL_DAEMON: Final = "local daemon"


def _merged(
    given: Mapping[str, Any], env: Mapping[str, str], home: Path
) -> tuple[str | None, _Sourced]:
    """Return the profile's name and all values given, the strongest place of each."""
    name, profile = _profile(env, given.get("profile"))
    merged: _Sourced = {
        **{key: (value, f"profile {name}") for key, value in profile.items()},
        **_from_environment(env),
        **{key: (value, "flag") for key, value in given.items()},
    }
    if "database_url" in merged:
        return name, merged
    source = merged.get("temporal_address", _UNSET)[1]
    if source not in {_UNSET[1], "environment TEMPORAL_ADDRESS"}:
        raise UsageError(
            f"a Temporal address is given ({source}) but no database",
            hint="give database_url as well, or neither to use the local daemon",
        )
    # TEMPORAL_ADDRESS is often set for Temporal's other tools: the local daemon has its own.
    local = {key: (value, _LOCAL_DAEMON) for key, value in _local_daemon(home).items()}
    if local:
        merged.pop("temporal_address", None)
    return name, {**local, **merged}


def _from_environment(env: Mapping[str, str]) -> _Sourced:
    ours = [(key, f"ACTIVITYCTL_{key.upper()}") for key in sorted(PROFILE_KEYS)]
    temporals = [
        ("temporal_address", "TEMPORAL_ADDRESS"),
        ("temporal_namespace", "TEMPORAL_NAMESPACE"),
    ]
    return {
        key: (env[name], f"environment {name}") for key, name in temporals + ours if env.get(name)
    }


def _profile(env: Mapping[str, str], flag: str | None) -> tuple[str | None, dict[str, Any]]:
    path = config_path(env)
    document = read_config(path)
    name = flag or env.get("ACTIVITYCTL_PROFILE") or document.get("default")
    if name is None:
        return None, {}
    return str(name), profile_in(document, path, str(name))


def _local_daemon(home: Path) -> dict[str, Any]:
    path = home / DAEMON_FILE
    try:
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{path}: {error}", hint="activityctl down, then up") from error
    addresses = document.get("addresses") if isinstance(document, dict) else None
    if not isinstance(addresses, dict):
        raise InvalidInputError(f"{path} is damaged", hint="activityctl down, then up")
    names = {
        "database_url": "database_url",
        "temporal_address": "temporal_address",
        "api": "api_url",
    }
    return {name: addresses[key] for key, name in names.items() if addresses.get(key)}


def _reference(key: str, sourced: _Sourced, env: Mapping[str, str]) -> SecretReference | None:
    """Return the reference; a profile's secret goes to no address of another source."""
    value, source = sourced.get(key, _UNSET)
    if not value:
        return None
    address = sourced.get(SECRET_ADDRESSES[key], _UNSET)[1]
    stray = address if source.startswith("profile ") and address != source else None
    return reference_of(key, str(value), env, source=source, stray=stray)


def _first(env: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((env[name] for name in names if env.get(name)), None)


def _boolean(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    match str(value).lower():
        case "1" | "true":
            return True
        case "0" | "false":
            return False
        case _:
            raise UsageError(f"{name} is {value!r}", hint=f"set {name} to true or false")


def _positive(name: str, value: object) -> int:
    text = str(value)
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UsageError(f"{name} is {value!r}", hint=f"set {name} to a whole number from 1")
    return int(text)


def _span(name: str, value: object) -> timedelta:
    found = re.fullmatch(r"([0-9]{1,6})([dhm])|0", str(value))
    if found is None:
        raise UsageError(
            f"{name} is {value!r}", hint=f"set {name} to days, hours or minutes: 30d, 12h; or 0"
        )
    units = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}
    return int(found[1]) * units[found[2]] if found[1] else timedelta(0)


def _span_text(span: timedelta) -> str:
    for unit, symbol in ((timedelta(days=1), "d"), (timedelta(hours=1), "h")):
        if not span % unit:
            return f"{span // unit}{symbol}" if span else "0"
    return f"{span // timedelta(minutes=1)}m"


def _networks(value: object) -> tuple[Network, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise UsageError(f"allowed_networks is {value!r}", hint="write CIDRs, such as 10.0.0.0/8")
    try:
        return tuple(ip_network(str(part).strip()) for part in parts)
    except ValueError as error:
        raise UsageError(
            f"allowed_networks: {error}", hint="write CIDRs, such as 10.0.0.0/8"
        ) from error
