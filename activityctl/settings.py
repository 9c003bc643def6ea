"""Resolves the settings: flags, then the environment, then a profile, then the local daemon.

This is the only reader of the environment. Settings are resolved once and passed down;
`config_file` reads the profiles.
"""

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from activityctl.config_file import PROFILE_KEYS, config_path, profile_in, read_config
from activityctl.errors import InvalidInputError, UnreachableError, UsageError, reason_of
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.secret import (
    Secret,
    SecretReference,
    name_of,
    reference_of,
    secrets_in,
)
from activityctl.setting_values import (
    LOCAL_DAEMON,
    LOCAL_RIGHTS,
    UNSET,
    Network,
    Sourced,
    boolean,
    choice,
    file,
    folders,
    is_own_server,
    networks,
    positive,
    server_url,
    span,
    variables,
    web_page,
    without_outranked,
)

__all__ = [
    "LOCAL_RIGHTS",
    "PROFILE_KEYS",
    "SECRET_ADDRESSES",
    "Secret",
    "Settings",
    "config_path",
    "default_home",
    "known_secrets",
    "load_settings",
    "user_config_path",
]

DAEMON_FILE: Final = "daemon.json"
ACTOR_VARIABLES: Final = ("ACTIVITYCTL_ACTOR", "GITHUB_ACTOR", "GITLAB_USER_LOGIN")
_OTLP_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
LOG_FORMATS: Final = ("text", "json")
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
    "ACTIVITYCTL_SUPERVISED",  # the daemon ends processes with this mark after a crash
)


@frozen_dataclass
class Settings:
    """All settings, resolved from their sources in the order of precedence."""

    home: Path
    """The folder of the local daemon's state. Each home has its own daemon."""
    profile: str | None = None
    database_url: Secret | None = None
    database_password_ref: SecretReference | None = None
    temporal_address: str | None = None
    temporal_namespace: str = "default"
    temporal_namespace_is_set: bool = False
    """Whether a variable or a profile names it; else temporal.toml may name another."""
    temporal_api_key_ref: SecretReference | None = None
    temporal_payload_key_ref: SecretReference | None = None
    """The key that encrypts what Temporal stores of our workflows. None: it is not encrypted."""
    temporal_former_payload_key_ref: SecretReference | None = None
    """The key from before a rotation, which only decrypts."""
    api_url: str | None = None
    """The URL of the daemon's HTTP API. An http task may give only a path of it."""
    api_certificate: Path | None = None
    """The certificate of the HTTP API, in PEM form. None: `serve` speaks HTTP."""
    api_private_key: Path | None = None
    trusted_proxies: tuple[Network, ...] = ()
    """The proxies that are believed who the client of the HTTP API is."""
    own_ports: frozenset[int] = frozenset()
    """The ports of the local daemon, which no task may call."""
    temporal_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Temporal's own `TEMPORAL_*` variables, and those that locate its temporal.toml."""
    uses_local_daemon: bool = True
    """True if flag, environment and profile give neither a database nor another's HTTP API."""
    allow_commands: bool = False
    """Whether the worker may run `command` tasks."""
    allow_http: bool = False
    """Whether tasks may call http URLs, not only https."""
    allowed_networks: tuple[Network, ...] = ()
    """Private, loopback or reserved networks that tasks may call."""
    allowed_folders: tuple[Path, ...] = ()
    """Folders of this machine whose files tasks and contexts may read."""
    allowed_variables: tuple[str, ...] = ()
    """Variables of the worker that contexts may read."""
    context_variables: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    """The values of `allowed_variables`; None for one that is not set."""
    task_environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The variables that the commands of tasks inherit; never the worker's secrets."""
    actor: str | None = None
    """The user who acts, as CI names them. None: the user of this machine."""
    source_commit: str | None = None
    """The commit that CI works on. None: ask git."""
    max_tasks: int = 50
    """How many tasks a worker runs at once."""
    event_retention: timedelta = timedelta(days=30)
    """How long events are kept. Zero: for ever."""
    retention: str = ""
    """What is kept how long, such as `runs=90d,logs=30d/10000`. Empty: all is kept for ever."""
    exports_traces: bool = False
    """Whether OpenTelemetry's own variables name an endpoint; its SDK reads them by itself."""
    log_format: str = "text"
    """How daemons write their log: `text`, or `json` with one object a line."""
    temporal_ui: str | None = None
    """The address of Temporal's web page, to which `describe run` links."""
    secrets_store: str = "auto"
    """Where `secrets set` keeps a value: `keyring`, `file`, or `auto`, which prefers the first."""
    secrets_folder: str | None = None
    """A folder with one file for each secret, as Kubernetes mounts it."""
    secrets_key_file: str | None = None
    """The key of the encrypted file: a path, or `fd:N`. None: a file in the home."""
    issuers_file: str | None = None
    """A YAML file of the issuers whose tokens (JWT) the HTTP API accepts."""
    secrets_hosts: str | None = None
    """The hosts of secrets that come from variables: `NAME=HOST[,HOST...]`, parted by spaces."""
    signer_address: str | None = None
    """`host:port` of a signer on another machine. None: the signer of this home."""
    signer_certificate: str | None = None
    """The certificate of that signer, or of who has signed it. None: those of the system."""
    signer_token_ref: SecretReference | None = None
    """The token that workers show to that signer."""
    server: str | None = None
    """The URL of the HTTP API that commands speak to. None: they speak to Postgres."""
    token_ref: SecretReference | None = None
    """The token for that API. None: that of the local daemon, if the URL is its own."""
    server_certificate: str | None = None
    """The certificate of that API, or of who has signed it. None: those of the system."""
    server_insecure_http: bool = False
    """Whether that API may be reached without TLS, also on another machine."""
    secret_variables: Mapping[str, Secret] = field(default_factory=dict, repr=False)
    """The secrets of the variables `ACTIVITYCTL_SECRET_*`, by the name of the secret."""

    @property
    def references(self) -> tuple[SecretReference, ...]:
        """Where the secrets are that connections need."""
        found = (
            self.database_password_ref,
            self.temporal_api_key_ref,
            self.temporal_payload_key_ref,
            self.temporal_former_payload_key_ref,
            self.signer_token_ref,
            self.token_ref,
        )
        return tuple(reference for reference in found if reference is not None)

    def required_database_url(self) -> str:
        """Return the URL of the database. Raises UnreachableError if no daemon is running here.

        The password may be stored elsewhere: `wiring.database_url` returns the URL with it.
        """
        if self.database_url is None:
            raise UnreachableError(
                f"no activityctl daemon is running for {self.home}", hint="activityctl up -d"
            )
        return self.database_url.value

    def required_temporal_address(self) -> str:
        """Return `host:port` of Temporal. Raises UnreachableError if it is not known."""
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
    """Resolve the settings. `flags` has `home`, `profile` and any setting of a profile, or None.

    Raises InvalidInputError for an invalid config file, NotFoundError for an unknown profile,
    UsageError for an invalid value or for an address of Temporal without a database.
    """
    env = os.environ if environment is None else environment
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    home = Path(given["home"]).absolute() if "home" in given else default_home(env)
    profile_name, sourced = merged_settings(given, env, home)
    merged = {key: value for key, (value, _) in sourced.items()}
    allowed_variables = variables("allowed_variables", sourced)
    server = server_url(sourced)
    has_own_database = sourced.get("database_url", UNSET)[1] in {UNSET[1], LOCAL_DAEMON}
    return Settings(
        home=home,
        profile=profile_name,
        database_url=Secret(str(merged["database_url"])) if merged.get("database_url") else None,
        database_password_ref=_reference("database_password_ref", sourced, env),
        temporal_address=merged.get("temporal_address"),
        temporal_namespace=str(merged.get("temporal_namespace", "default")),
        temporal_namespace_is_set="temporal_namespace" in merged,
        temporal_api_key_ref=_reference("temporal_api_key_ref", sourced, env),
        temporal_payload_key_ref=_reference("temporal_payload_key_ref", sourced, env),
        temporal_former_payload_key_ref=_reference("temporal_former_payload_key_ref", sourced, env),
        api_url=merged.get("api_url"),
        api_certificate=file("api_certificate", sourced),
        api_private_key=file("api_private_key", sourced),
        trusted_proxies=networks("trusted_proxies", sourced),
        own_ports=_own_ports(home),
        temporal_environment={
            key: value
            for key, value in env.items()
            if key.startswith("TEMPORAL_") or key in {"HOME", "XDG_CONFIG_HOME"}
        },
        uses_local_daemon=has_own_database and is_own_server(server, sourced),
        allow_commands=boolean("allow_commands", sourced),
        allow_http=boolean("allow_http", sourced),
        allowed_networks=networks("allowed_networks", sourced),
        allowed_folders=folders("allowed_folders", sourced),
        allowed_variables=allowed_variables,
        context_variables={name: env.get(name) for name in allowed_variables},
        actor=_first(env, ACTOR_VARIABLES),
        source_commit=_first(env, COMMIT_VARIABLES),
        task_environment={key: env[key] for key in INHERITED if env.get(key)},
        max_tasks=positive("max_tasks", sourced),
        event_retention=span("event_retention", sourced),
        retention=str(merged.get("retention") or ""),
        exports_traces=_first(env, _OTLP_VARIABLES) is not None,
        log_format=choice("log_format", sourced, LOG_FORMATS),
        temporal_ui=web_page("temporal_ui", sourced),
        secrets_store=choice("secrets_store", sourced, ("auto", "keyring", "file")),
        secrets_folder=merged.get("secrets_folder"),
        secrets_key_file=merged.get("secrets_key_file"),
        secrets_hosts=merged.get("secrets_hosts"),
        issuers_file=merged.get("issuers_file"),
        signer_address=merged.get("signer_address"),
        signer_certificate=merged.get("signer_certificate"),
        signer_token_ref=_reference("signer_token_ref", sourced, env),
        server=server,
        token_ref=_reference("token_ref", sourced, env),
        server_certificate=merged.get("server_certificate"),
        server_insecure_http=boolean("server_insecure_http", sourced),
        secret_variables={
            name: Secret(value)
            for variable, value in env.items()
            if value and (name := name_of(variable)) is not None
        },
    )


def user_config_path() -> Path:
    """Return the path of this user's config file, which may not exist."""
    return config_path(os.environ)


def known_secrets(flags: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Return every secret of the environment and the settings, longest first; never raises."""
    settings = None
    with contextlib.suppress(Exception):  # the environment's secrets are known all the same
        settings = load_settings(flags)
    url = settings.database_url if settings else None
    return secrets_in(os.environ, url, settings.references if settings else ())


SECRET_ADDRESSES: Final = {
    "database_password_ref": "database_url",
    "temporal_api_key_ref": "temporal_address",
    "token_ref": "server",
}
"""The setting of the address that a secret is sent to."""
_RESTART: Final = "restart the daemon: activityctl down, then activityctl up -d"
_HOME: Final = "set ACTIVITYCTL_HOME or --home to a folder of your own"


def merged_settings(
    given: Mapping[str, Any], env: Mapping[str, str], home: Path
) -> tuple[str | None, Sourced]:
    """Return the name of the profile, and each setting with its value of highest precedence.

    Raises as `load_settings` does.
    """
    name, profile = _profile(env, given.get("profile"))
    merged: Sourced = {
        **{key: (value, f"profile {name}") for key, value in profile.items()},
        **_from_environment(env),
        **{key: (value, "flag") for key, value in given.items()},
    }
    merged = without_outranked(merged)
    if "database_url" in merged:
        return name, merged
    source = merged.get("temporal_address", UNSET)[1]
    if source not in {UNSET[1], "environment TEMPORAL_ADDRESS"}:
        raise UsageError(
            f"temporal_address is set ({source}), but no database",
            hint="set database_url as well, or neither of them to use the local daemon",
        )
    # TEMPORAL_ADDRESS is often set for other tools. The local daemon has its own address.
    local = {key: (value, LOCAL_DAEMON) for key, value in _local_daemon(home).items()}
    if local:
        merged.pop("temporal_address", None)
    return name, {**local, **merged}


def _from_environment(env: Mapping[str, str]) -> Sourced:
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
    document = daemon_document(home)
    if document is None:
        return {}
    addresses = document.get("addresses")
    if not isinstance(addresses, dict):
        raise InvalidInputError(f"{home / DAEMON_FILE} is damaged", hint=_RESTART)
    names = {"api": "api_url"} | {key: key for key in ("database_url", "temporal_address")}
    return {name: addresses[key] for key, name in names.items() if addresses.get(key)}


def _own_ports(home: Path) -> frozenset[int]:
    """Return the ports of the home's daemon, also for a worker with another database."""
    try:
        ports = (daemon_document(home) or {}).get("ports")
    except InvalidInputError:
        return frozenset()  # `_local_daemon` reports it, if the daemon is used
    return frozenset(ports.values()) if isinstance(ports, dict) else frozenset()


def daemon_document(home: Path) -> dict[str, Any] | None:
    """Return `daemon.json`, None if it is absent; InvalidInputError if it cannot be read."""
    path = home / DAEMON_FILE
    try:
        document = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise InvalidInputError(f"the home {home} is not a folder", hint=_HOME) from None
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{path}: {reason_of(error)}", hint=_RESTART) from error
    return document if isinstance(document, dict) else {}


def _reference(key: str, sourced: Sourced, env: Mapping[str, str]) -> SecretReference | None:
    """Return the reference to a secret, with the source of the address if that is another one."""
    value, source = sourced.get(key, UNSET)
    if not value:
        return None
    address_source = None
    if key in SECRET_ADDRESSES and source.startswith("profile "):
        address = sourced.get(SECRET_ADDRESSES[key], UNSET)[1]
        address_source = None if address == source else address
    return reference_of(key, str(value), env, source=source, address_source=address_source)


def _first(env: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    return next((env[name] for name in names if env.get(name)), None)
