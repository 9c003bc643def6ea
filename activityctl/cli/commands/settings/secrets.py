"""`activityctl secrets`: set, list, rotate and remove the secrets of this machine."""

import asyncio
import getpass
import sys
from typing import Annotated, Any, Final

import typer

from activityctl import wiring
from activityctl.cli.completion import secret_names
from activityctl.cli.confirm import require_yes
from activityctl.cli.options import TextOrJson, Yes
from activityctl.cli.render.help_page import CommandGroup
from activityctl.cli.render.output import age, check_format, print_json, print_table
from activityctl.cli.session import Session
from activityctl.domain.values.json_form import API_VERSION, View, format_timestamp
from activityctl.domain.values.known_secret import LARGEST, KnownSecret, SecretStore
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.untrusted import escape_controls
from activityctl.errors import (
    ActivityctlError,
    InvalidInputError,
    RefusedError,
    UnreachableError,
    UsageError,
)
from activityctl.operations.looking.secret_users import live_users
from activityctl.wiring import Ports

SecretName = Annotated[str, typer.Argument(help="The secret's name.", metavar="NAME")]
KnownName = Annotated[
    str,
    typer.Argument(help="The secret's name.", metavar="NAME", autocompletion=secret_names),
]
NoValue = Annotated[list[str] | None, typer.Argument(hidden=True)]
_STORES: Final = ("keyring", "file")

secrets = CommandGroup(
    help="""Keep the secrets of tasks on this machine; manifests name them with secretRef.

    activityctl secrets set crm-token --hosts api.crm.example

    activityctl secrets list

    activityctl guide secrets
    """,
)


@secrets.command("set")
def set_secret(
    context: typer.Context,
    name: SecretName,
    value: NoValue = None,
    hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--hosts",
            help="The only hosts that it may be sent to, such as api.example or *.example:8443; "
            "repeatable, or parted by commas. Without it: any host, and commands.",
            metavar="HOST",
        ),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            help="Where to keep it: the system's key store, or the encrypted file. Default: the "
            "setting secrets_store.",
            metavar="keyring|file",
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Keep no value: read it at each use from file:/PATH or keyring:SERVICE/ENTRY.",
            metavar="REF",
        ),
    ] = None,
) -> None:
    """Keep a new secret. Its value is asked for, or read from standard input.

    activityctl secrets set crm-token --hosts api.crm.example

    pass show crm | activityctl secrets set crm-token

    activityctl secrets set db --from file:/run/secrets/db
    """
    session: Session = context.obj
    _refuse_value(value)
    if store is not None and (store not in _STORES or reference is not None):
        raise UsageError(f"--store {store} cannot be used here", hint="keyring or file, no --from")
    stores = wiring.open_secrets(session.settings)
    bound = wiring.read_hosts(name, ",".join(hosts or ()))
    stores.require_free(name)
    if reference is not None:
        kept = asyncio.run(stores.refer(name, reference, bound))
    else:
        kept = asyncio.run(stores.set(name, _read_value(name), bound, store))
    session.out.print(escape_controls(f"secret/{name} set: {_place(kept)}"))
    session.err.print(f"use it in a manifest as {{secretRef: {name}}}")


@secrets.command("list")
def list_secrets(context: typer.Context, output: TextOrJson = "text") -> None:
    """List the secrets of this machine, and those that are missing; never a value.

    activityctl secrets list
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    known = wiring.open_secrets(session.settings).known()
    try:
        users: dict[str, list[str]] | None = _users(session)
    except ActivityctlError as error:
        users = None
        session.err.print(f"note: who uses them is not known: {escape_controls(str(error))}")
    views = [_view(secret, users) for secret in known]
    names = {secret.name for secret in known}
    for name, of in (users or {}).items():
        if name not in names:
            views.append({**dict.fromkeys(_FIELDS), "name": name, "hosts": [], "usedBy": of})
    if shape == "json":
        print_json(session.out, {"apiVersion": API_VERSION, "kind": "List", "items": views})
        return
    columns = (
        ("NAME", lambda row: row["name"]),
        ("KEPT IN", _kept_in),
        ("HOSTS", lambda row: ", ".join(row["hosts"]) or None),
        ("USED BY", lambda row: ", ".join(row["usedBy"] or ()) or None),
        ("LAST USED", lambda row: age(row["lastUsedAt"]) if row["lastUsedAt"] else None),
        ("CHANGED", lambda row: age(row["rotatedAt"] or row["createdAt"])),
    )
    print_table(session.out, views, columns, empty="No secrets found.")
    for view in views:
        if view["place"] is None:
            session.err.print(f"hint: activityctl secrets set {view['name']}")


@secrets.command()
def rotate(context: typer.Context, name: KnownName, value: NoValue = None) -> None:
    """Replace the value of a secret. The next attempt of a task uses it, without a restart.

    activityctl secrets rotate crm-token
    """
    session: Session = context.obj
    _refuse_value(value)
    stores = wiring.open_secrets(session.settings)
    stores.entry_to_rotate(name)
    kept = asyncio.run(stores.rotate(name, _read_value(name)))
    session.out.print(escape_controls(f"secret/{name} rotated: {_place(kept)}"))


@secrets.command()
def remove(context: typer.Context, name: KnownName, yes: Yes = False) -> None:
    """Remove a secret with its value. One that is used is removed only with --yes.

    activityctl secrets remove crm-token
    """
    session: Session = context.obj
    stores = wiring.open_secrets(session.settings)
    if not yes:
        try:
            users = _users(session).get(name, [])
        except UnreachableError as error:
            raise UnreachableError(
                f"it is not known who uses secret {name}: {error}",
                hint=f"{error.hint}, or add --yes" if error.hint else "add --yes",
            ) from None
        if users:
            raise RefusedError(
                f"secret {name} is used by {', '.join(users)}; their tasks would fail",
                hint="remove it from the manifests first, or add --yes",
            )
        if any(secret.name == name for secret in stores.known()):
            require_yes("removing a secret", f"Remove secret {name}?")
    asyncio.run(stores.remove(name))
    session.out.print(f"secret/{name} removed")


_FIELDS: Final = ("name", "store", "place", "hosts", "createdAt", "rotatedAt", "lastUsedAt")


def _view(secret: KnownSecret, users: dict[str, list[str]] | None) -> View:
    return {
        "name": secret.name,
        "store": secret.store.value,
        "place": secret.place,
        "hosts": list(secret.hosts),
        "createdAt": format_timestamp(secret.created_at),
        "rotatedAt": format_timestamp(secret.rotated_at),
        "lastUsedAt": format_timestamp(secret.last_used_at),
        "usedBy": None if users is None else users.get(secret.name, []),
    }


def _kept_in(view: View) -> str:
    if view["store"] is None:
        return "missing here"
    store = SecretStore(view["store"])
    is_ours = store in {SecretStore.KEYRING, SecretStore.FILE}
    return store.text if is_ours else f"{store.text} {view['place']}"


def _users(session: Session) -> dict[str, list[str]]:
    async def work(ports: Ports) -> dict[str, list[str]]:
        return await live_users(ports.catalog)

    return session.with_ports(work)


def _place(secret: KnownSecret) -> str:
    hosts = f", only for {', '.join(secret.hosts)}" if secret.hosts else ""
    return f"{secret.store.text} {secret.place}{hosts}"


def _refuse_value(value: Any) -> None:
    if value:
        raise UsageError(
            f"{count_noun(len(value), 'word')} too many; a value is never an argument, because "
            "other users could see it",
            hint="type it when it is asked for, or write it to standard input",
        )


def _read_value(name: str) -> str:
    """Ask for the value without showing it; without a terminal, read standard input."""
    if sys.stdin.isatty():
        return getpass.getpass(f"Value of {name}: ", stream=sys.stderr)
    try:
        content = sys.stdin.buffer.read(LARGEST + 3)
        return content.decode()
    except UnicodeDecodeError:
        raise InvalidInputError(f"the value of secret {name} is not valid UTF-8") from None
