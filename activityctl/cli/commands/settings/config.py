"""`activityctl config`: profiles of the config file, and where each setting comes from."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from activityctl import config_file
from activityctl.cli.render.help_page import CommandGroup
from activityctl.cli.render.output import check_format, escape_controls, print_json, print_table
from activityctl.cli.session import Session
from activityctl.domain.values.json_form import API_VERSION, View
from activityctl.errors import UsageError
from activityctl.secret import has_password
from activityctl.settings import (
    SECRET_ADDRESSES,
    load_settings,
    masked_url,
    setting_sources,
    user_config_path,
)

Format = Annotated[str, typer.Option("--output", "-o", help="text or json.", metavar="FORMAT")]
_PLACES: Final = "keyring:SERVICE/ENTRY, env:NAME or file:/PATH"
Name = Annotated[str, typer.Argument(help="The profile's name.", metavar="NAME")]

config = CommandGroup(
    help="""Show the settings, and keep profiles of servers.

    activityctl config add prod --database-url postgresql://app@db.example/app
    --database-password-ref keyring:activityctl/prod-db --temporal-address temporal.example:7233

    activityctl config use prod

    activityctl config show
    """,
)


@config.command()
def show(context: typer.Context, output: Format = "text") -> None:
    """Show every setting and where it comes from: flag, environment, profile, daemon, default.

    activityctl --profile prod config show
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    rows: list[View] = [
        {"name": one.name, "value": one.value, "source": one.source}
        for one in setting_sources(session.flags)
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
def list_profiles(context: typer.Context, output: Format = "text") -> None:
    """List the profiles of the config file.

    activityctl config list
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    document = config_file.read_config(user_config_path())
    items: list[View] = [
        {"name": name, "isDefault": name == document.get("default"), "settings": _shown(profile)}
        for name, profile in config_file.profiles_of(document).items()
    ]
    if shape == "json":
        print_json(session.out, {"apiVersion": API_VERSION, "kind": "List", "items": items})
        return
    columns = (
        ("NAME", lambda row: row["name"]),
        ("DEFAULT", lambda row: "*" if row["isDefault"] else ""),
        ("DATABASE", lambda row: row["settings"].get("database_url")),
        ("TEMPORAL", lambda row: row["settings"].get("temporal_address")),
    )
    print_table(session.out, items, columns, empty="No profiles found.")


@config.command()
def add(
    context: typer.Context,
    name: Name,
    database_url: Annotated[
        str | None,
        typer.Option(help="postgresql://…; - reads it from standard input.", metavar="URL"),
    ] = None,
    database_password_ref: Annotated[
        str | None, typer.Option(help=f"Where its password is: {_PLACES}.", metavar="REF")
    ] = None,
    temporal_address: Annotated[str | None, typer.Option(metavar="HOST:PORT")] = None,
    temporal_namespace: Annotated[str | None, typer.Option(metavar="NAME")] = None,
    temporal_api_key_ref: Annotated[
        str | None, typer.Option(help=f"Where Temporal's API key is: {_PLACES}.", metavar="REF")
    ] = None,
    api_url: Annotated[str | None, typer.Option(metavar="URL")] = None,
    allow_commands: Annotated[
        bool | None, typer.Option(help="Whether a worker runs command tasks.")
    ] = None,
    allow_http: Annotated[
        bool | None, typer.Option(help="Whether tasks may call plain http.")
    ] = None,
    allowed_networks: Annotated[
        str | None, typer.Option(help="Private networks to allow: 10.0.0.0/8,…", metavar="CIDRS")
    ] = None,
    max_tasks: Annotated[int | None, typer.Option(help="Tasks at work at once.")] = None,
    event_retention: Annotated[
        str | None, typer.Option(help="How long events are kept: 30d; 0 for ever.", metavar="SPAN")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a profile of this name.")
    ] = False,
) -> None:
    """Add a profile; the first one becomes the default. Secrets stay where they are kept.

    The password is kept elsewhere: for the example, by `keyring set activityctl prod-db`.

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
        "api_url": api_url,
        "allow_commands": allow_commands,
        "allow_http": allow_http,
        "allowed_networks": allowed_networks.split(",") if allowed_networks else None,
        "max_tasks": max_tasks,
        "event_retention": event_retention,
    }
    values = {key: value for key, value in given.items() if value is not None}
    if not values or url == "":
        raise UsageError("a profile without settings", hint="name at least --database-url")
    _check_secrets(session, name, values, from_stdin=database_url == "-")
    load_settings({**values, "home": Path.cwd()}, {"ACTIVITYCTL_CONFIG": os.devnull})
    is_default = config_file.add_profile(user_config_path(), name, values, replace=replace)
    session.out.print(f"profile/{name} saved{', and is the default' if is_default else ''}")
    if not is_default:
        session.err.print(f"next: activityctl config use {name}, or --profile {name}")


@config.command()
def use(context: typer.Context, name: Name) -> None:
    """Make a profile the default.

    activityctl config use prod
    """
    session: Session = context.obj
    config_file.use_profile(user_config_path(), name)
    session.out.print(f"profile/{name} is the default")


@config.command()
def remove(context: typer.Context, name: Name) -> None:
    """Remove a profile from the config file.

    activityctl config remove prod
    """
    session: Session = context.obj
    was_default = config_file.remove_profile(user_config_path(), name)
    rest = "; there is no default now, the local daemon is used" if was_default else ""
    session.out.print(f"profile/{name} removed{rest}")


def _check_secrets(
    session: Session, name: str, values: dict[str, Any], *, from_stdin: bool
) -> None:
    """Refuse a password that others could see, and a secret without its address."""
    for setting, address in SECRET_ADDRESSES.items():
        if setting in values and address not in values:
            option = f"--{address.replace('_', '-')}"
            raise UsageError(
                f"{setting} without the address that it is for", hint=f"give {option}, too"
            )
    if not has_password(values.get("database_url", "")):
        return
    if "database_password_ref" in values:
        raise UsageError("two passwords: one in the URL, one kept elsewhere", hint="give one")
    instead = (
        f"keyring set activityctl {name}-db, then give the URL without it and "
        f"--database-password-ref keyring:activityctl/{name}-db"
    )
    if not from_stdin:
        raise UsageError("a password on the command line is seen by others", hint=instead)
    session.err.print(f"the password is kept as plain text in the config file; better: {instead}")


def _shown(profile: config_file.TomlDocument) -> config_file.TomlDocument:
    """Return a profile without passwords."""
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
