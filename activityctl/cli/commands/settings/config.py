"""`activityctl config`: manage the profiles of the config file, and show the settings."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from activityctl import config_file
from activityctl.cli.options import TextOrJson
from activityctl.cli.render.help_page import CommandGroup
from activityctl.cli.render.output import check_format, print_json, print_table
from activityctl.cli.session import Session
from activityctl.domain.values.json_form import API_VERSION, View
from activityctl.domain.values.untrusted import escape_controls
from activityctl.errors import UsageError
from activityctl.secret import has_password, masked_url, require_sound_url
from activityctl.setting_sources import setting_sources
from activityctl.settings import (
    SECRET_ADDRESSES,
    load_settings,
    user_config_path,
)

_REFERENCES: Final = "keyring:SERVICE/ENTRY, env:NAME or file:/PATH"
ProfileName = Annotated[str, typer.Argument(help="The profile's name.", metavar="NAME")]

config = CommandGroup(
    help="""Show the settings and manage profiles of servers.

    activityctl config add prod --database-url postgresql://app@db.example/app
    --database-password-ref keyring:activityctl/prod-db --temporal-address temporal.example:7233

    activityctl config use prod

    activityctl config show
    """,
)


@config.command()
def show(context: typer.Context, output: TextOrJson = "text") -> None:
    """Show the settings and the source of each: flag, environment, profile, daemon or default.

    activityctl --profile prod config show
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    rows: list[View] = [
        {"name": setting.name, "value": setting.value, "source": setting.source}
        for setting in setting_sources(session.flags)
    ]
    path = str(user_config_path())
    head = {"profile": session.settings.profile, "configFile": path}
    if shape == "json":
        view = {"apiVersion": API_VERSION, "kind": "Settings", **head, "settings": rows}
        print_json(session.out, view)
        return
    columns = (
        ("SETTING", lambda row: row["name"]),
        ("VALUE", lambda row: _text(row["value"])),
        ("FROM", lambda row: row["source"]),
    )
    print_table(session.out, rows, columns, empty="")
    session.err.print(f"config file: {escape_controls(path)}")


@config.command("list")
def list_profiles(context: typer.Context, output: TextOrJson = "text") -> None:
    """List the profiles of the config file.

    activityctl config list
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    document = config_file.read_config(user_config_path())
    items: list[View] = [
        {
            "name": name,
            "isDefault": name == document.get("default"),
            "settings": _without_password(profile),
        }
        for name, profile in config_file.profiles_of(document).items()
    ]
    if shape == "json":
        print_json(session.out, {"apiVersion": API_VERSION, "kind": "List", "items": items})
        return
    columns = (
        ("NAME", lambda row: row["name"]),
        ("DEFAULT", lambda row: "*" if row["isDefault"] else ""),
        ("DATABASE", lambda row: row["settings"].get("database_url")),
        ("SERVER", lambda row: row["settings"].get("server")),
        ("TEMPORAL", lambda row: row["settings"].get("temporal_address")),
    )
    print_table(session.out, items, columns, empty="No profiles found.")


@config.command()
def add(
    context: typer.Context,
    name: ProfileName,
    database_url: Annotated[
        str | None,
        typer.Option(
            help="The URL of Postgres, postgresql://USER@HOST/DATABASE; - reads it from standard "
            "input.",
            metavar="URL",
        ),
    ] = None,
    database_password_ref: Annotated[
        str | None,
        typer.Option(help=f"Where the password of Postgres is: {_REFERENCES}.", metavar="REF"),
    ] = None,
    temporal_address: Annotated[
        str | None, typer.Option(help="The address of Temporal.", metavar="HOST:PORT")
    ] = None,
    temporal_namespace: Annotated[
        str | None, typer.Option(help="The namespace in Temporal.", metavar="NAME")
    ] = None,
    temporal_api_key_ref: Annotated[
        str | None,
        typer.Option(help=f"Where the API key of Temporal is: {_REFERENCES}.", metavar="REF"),
    ] = None,
    temporal_payload_key_ref: Annotated[
        str | None,
        typer.Option(
            help=f"Where the key is that encrypts payloads in Temporal: {_REFERENCES}.",
            metavar="REF",
        ),
    ] = None,
    temporal_former_payload_key_ref: Annotated[
        str | None,
        typer.Option(help="Where the key from before its rotation is.", metavar="REF"),
    ] = None,
    api_url: Annotated[
        str | None, typer.Option(help="The URL of the HTTP API.", metavar="URL")
    ] = None,
    api_certificate: Annotated[
        str | None,
        typer.Option(help="The certificate of the HTTP API, in PEM form.", metavar="FILE"),
    ] = None,
    api_private_key: Annotated[
        str | None, typer.Option(help="The key of that certificate.", metavar="FILE")
    ] = None,
    trusted_proxies: Annotated[
        str | None,
        typer.Option(
            help="The proxies that say who the client of the HTTP API is, such as 10.0.0.5/32.",
            metavar="CIDRS",
        ),
    ] = None,
    allow_commands: Annotated[
        bool | None, typer.Option(help="Whether a worker may run tasks of the kind command.")
    ] = None,
    allow_http: Annotated[
        bool | None, typer.Option(help="Whether tasks may use http without TLS.")
    ] = None,
    allowed_networks: Annotated[
        str | None,
        typer.Option(
            help="The private networks that tasks may reach, such as 10.0.0.0/8,192.168.1.0/24.",
            metavar="CIDRS",
        ),
    ] = None,
    allowed_folders: Annotated[
        str | None,
        typer.Option(
            help="The folders whose files tasks and contexts may read, separated by colons.",
            metavar="PATHS",
        ),
    ] = None,
    allowed_variables: Annotated[
        str | None,
        typer.Option(
            help="The worker's variables that contexts may read, such as REGION,STAGE.",
            metavar="NAMES",
        ),
    ] = None,
    max_tasks: Annotated[
        int | None,
        typer.Option(help="How many tasks a worker may run at the same time.", metavar="COUNT"),
    ] = None,
    log_format: Annotated[
        str | None,
        typer.Option(help="How daemons write their log: text or json.", metavar="FORMAT"),
    ] = None,
    temporal_ui: Annotated[
        str | None,
        typer.Option(
            help="The address of Temporal's web page, to which `describe run` links.",
            metavar="URL",
        ),
    ] = None,
    event_retention: Annotated[
        str | None,
        typer.Option(
            help="How long events are kept, such as 30d; 0 keeps them forever.",
            metavar="DURATION",
        ),
    ] = None,
    retention: Annotated[
        str | None,
        typer.Option(
            help="How long runs, logs and the like are kept, such as runs=90d,logs=30d/10000.",
            metavar="KIND=KEEP,...",
        ),
    ] = None,
    secrets_store: Annotated[
        str | None,
        typer.Option(help="Where `secrets set` keeps values.", metavar="auto|keyring|file"),
    ] = None,
    secrets_folder: Annotated[
        str | None,
        typer.Option(help="A folder with one file for each secret.", metavar="FOLDER"),
    ] = None,
    secrets_key_file: Annotated[
        str | None,
        typer.Option(help="The key of the encrypted file of secrets.", metavar="FILE"),
    ] = None,
    issuers_file: Annotated[
        str | None,
        typer.Option(
            help="The issuers whose tokens the HTTP API accepts, a YAML file.", metavar="FILE"
        ),
    ] = None,
    secrets_hosts: Annotated[
        str | None,
        typer.Option(
            help="The hosts of secrets from variables: NAME=HOST, parted by spaces.",
            metavar="TEXT",
        ),
    ] = None,
    signer_address: Annotated[
        str | None,
        typer.Option(help="A signer on another machine.", metavar="HOST:PORT"),
    ] = None,
    signer_certificate: Annotated[
        str | None,
        typer.Option(help="The certificate of that signer.", metavar="FILE"),
    ] = None,
    signer_token_ref: Annotated[
        str | None,
        typer.Option(help="Where the token for that signer is kept.", metavar="STORE:NAME"),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            help="The HTTP API that commands speak to, in place of a database.", metavar="URL"
        ),
    ] = None,
    token_ref: Annotated[
        str | None,
        typer.Option(help=f"Where the token for it is: {_REFERENCES}.", metavar="REF"),
    ] = None,
    server_certificate: Annotated[
        str | None,
        typer.Option(help="Its certificate, or that of who has signed it.", metavar="FILE"),
    ] = None,
    server_insecure_http: Annotated[
        bool | None, typer.Option(help="Whether it may be on another machine without TLS.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the profile of this name if it exists.")
    ] = False,
) -> None:
    """Add a profile to the config file; it is used with --profile, or after `config use`.

    A profile names where a secret is kept, not the secret itself. To store the password of the
    example: `keyring set activityctl prod-db`.

    activityctl config add prod --database-url postgresql://app@db.example/app
    --database-password-ref keyring:activityctl/prod-db --temporal-address temporal.example:7233
    """
    session: Session = context.obj
    url = sys.stdin.readline().strip() if database_url == "-" else database_url
    given: dict[str, Any] = {
        "database_url": url,
        "database_password_ref": database_password_ref,
        "temporal_address": temporal_address,
        "temporal_namespace": temporal_namespace,
        "temporal_api_key_ref": temporal_api_key_ref,
        "temporal_payload_key_ref": temporal_payload_key_ref,
        "temporal_former_payload_key_ref": temporal_former_payload_key_ref,
        "log_format": log_format,
        "temporal_ui": temporal_ui,
        "api_url": api_url,
        "api_certificate": api_certificate,
        "api_private_key": api_private_key,
        "trusted_proxies": trusted_proxies.split(",") if trusted_proxies else None,
        "allow_commands": allow_commands,
        "allow_http": allow_http,
        "allowed_networks": allowed_networks.split(",") if allowed_networks else None,
        "allowed_folders": allowed_folders.split(os.pathsep) if allowed_folders else None,
        "allowed_variables": allowed_variables.split(",") if allowed_variables else None,
        "max_tasks": max_tasks,
        "event_retention": event_retention,
        "retention": retention,
        "secrets_store": secrets_store,
        "secrets_folder": secrets_folder,
        "secrets_key_file": secrets_key_file,
        "issuers_file": issuers_file,
        "secrets_hosts": secrets_hosts,
        "signer_address": signer_address,
        "signer_certificate": signer_certificate,
        "signer_token_ref": signer_token_ref,
        "server": server,
        "token_ref": token_ref,
        "server_certificate": server_certificate,
        "server_insecure_http": server_insecure_http,
    }
    values = {key: value for key, value in given.items() if value is not None}
    if not values or url == "":
        raise UsageError(
            "the profile has no settings", hint="give at least --database-url or --server"
        )
    if url is not None:
        require_sound_url(url)
    _check_secrets(session, name, values, from_stdin=database_url == "-")
    load_settings({**values, "home": Path.cwd()}, {"ACTIVITYCTL_CONFIG": os.devnull})
    is_default = config_file.add_profile(user_config_path(), name, values, replace=replace)
    session.out.print(f"profile/{name} saved{', it is the default' if is_default else ''}")
    if not is_default:
        session.err.print(f"next: activityctl config use {name}, or --profile {name}")


@config.command()
def use(context: typer.Context, name: ProfileName) -> None:
    """Make a profile the default.

    activityctl config use prod
    """
    session: Session = context.obj
    config_file.use_profile(user_config_path(), name)
    session.out.print(f"profile/{name} is the default")


@config.command()
def remove(context: typer.Context, name: ProfileName) -> None:
    """Remove a profile from the config file.

    activityctl config remove prod
    """
    session: Session = context.obj
    was_default = config_file.remove_profile(user_config_path(), name)
    rest = "; without a default profile the local daemon is used" if was_default else ""
    session.out.print(f"profile/{name} removed{rest}")


def _check_secrets(
    session: Session, name: str, values: dict[str, Any], *, from_stdin: bool
) -> None:
    """Raise UsageError for a password that others could see, or a secret without its address.

    Print a warning if the password comes in a URL from standard input.
    """
    for setting, address in SECRET_ADDRESSES.items():
        if setting in values and address not in values:
            option = f"--{address.replace('_', '-')}"
            raise UsageError(
                f"{setting} needs the address that it is for", hint=f"also give {option}"
            )
    if not has_password(values.get("database_url", "")):
        return
    if "database_password_ref" in values:
        raise UsageError(
            "the URL has a password, and --database-password-ref names another one",
            hint="give only one of them",
        )
    instead = (
        f"keyring set activityctl {name}-db, then give the URL without it and "
        f"--database-password-ref keyring:activityctl/{name}-db"
    )
    if not from_stdin:
        raise UsageError("others can see a password on the command line", hint=instead)
    session.err.print(
        f"warning: the password is stored as plain text in the config file; better: {instead}"
    )


def _without_password(profile: config_file.TomlDocument) -> config_file.TomlDocument:
    """Return the profile with the password of the URL masked."""
    return {
        key: masked_url(str(value)) if key == "database_url" else value
        for key, value in profile.items()
    }


def _text(value: object) -> str | None:
    return ", ".join(map(str, value)) or None if isinstance(value, list) else _plain(value)


def _plain(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)
