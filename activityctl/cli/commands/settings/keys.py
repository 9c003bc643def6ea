"""`activityctl keys`: make, import, list, rotate and remove the keys of this machine."""

import asyncio
import getpass
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from activityctl import wiring
from activityctl.cli.completion import key_names
from activityctl.cli.confirm import require_yes
from activityctl.cli.options import TextOrJson, Yes
from activityctl.cli.render.help_page import CommandGroup
from activityctl.cli.render.output import check_format, print_json, print_table
from activityctl.cli.session import Session
from activityctl.domain.chain.keys import HeldKey, KeyKind, KeyVersion, KnownKey
from activityctl.domain.values.duration import parse_duration
from activityctl.domain.values.json_form import API_VERSION, View, format_timestamp
from activityctl.domain.values.untrusted import escape_controls
from activityctl.errors import UsageError

KeyName = Annotated[str, typer.Argument(help="The key's name.", metavar="NAME")]
KnownName = Annotated[
    str, typer.Argument(help="The key's name.", metavar="NAME", autocompletion=key_names)
]
Kind = Annotated[
    str,
    typer.Option(
        help="hmac: signs hooks. executor: signs executables. relayer: sends transactions.",
        metavar="hmac|executor|relayer",
    ),
]
Store = Annotated[
    str | None,
    typer.Option(
        help="Where to keep it: the system's key store, or the encrypted file. Default: the "
        "setting secrets_store.",
        metavar="keyring|file",
    ),
]
_STORES: Final = ("keyring", "file")
_LONGEST: Final = 4096

keys = CommandGroup(
    help="""Keep the keys that sign hooks, executables and transactions on this machine.

    activityctl keys create rebalancer --kind hmac

    activityctl keys list

    activityctl guide builder-kit
    """,
)


@keys.command()
def create(
    context: typer.Context,
    name: KeyName,
    kind: Kind,
    store: Store = None,
    output: TextOrJson = "text",
) -> None:
    """Make a new key. An HMAC key is shown now and never again; a private key is never shown.

    activityctl keys create rebalancer --kind hmac

    activityctl keys create relayer-1 --kind relayer
    """
    session: Session = context.obj
    chosen = _kind(kind)
    _check_store(store)
    stores = wiring.open_keys(session.settings)
    held = asyncio.run(stores.create(name, chosen, store=store))
    _print_new(session, stores.one(name), held, "created", output)


@keys.command("import")
def import_key(
    context: typer.Context,
    name: KeyName,
    kind: Kind,
    keystore: Annotated[
        Path | None,
        typer.Option(
            help="A keystore file (version 3); its password is asked for, or read from standard "
            "input.",
            metavar="FILE",
        ),
    ] = None,
    store: Store = None,
    output: TextOrJson = "text",
) -> None:
    """Keep a key that exists: hex from the terminal or standard input, or a keystore file.

    vault read -field=key kv/relayer | activityctl keys import relayer-1 --kind relayer

    activityctl keys import signer --kind executor --keystore UTC--2026-01-01--ab12.json
    """
    session: Session = context.obj
    chosen = _kind(kind)
    _check_store(store)
    if keystore is not None and not chosen.is_account:
        raise UsageError("a keystore file has a private key", hint="--kind executor or relayer")
    stores = wiring.open_keys(session.settings)
    stores.require_free(name)
    if keystore is None:
        text = _read_hidden(f"{name} in hex")
    else:
        text = wiring.read_keystore(str(keystore), _read_hidden(f"Password of {keystore.name}"))
    held = asyncio.run(stores.create(name, chosen, text, store))
    _print_new(session, stores.one(name), held, "imported", output, is_secret_shown=False)


@keys.command("list")
def list_keys(context: typer.Context, output: TextOrJson = "text") -> None:
    """List the keys of this machine by address; never a secret.

    NAME/N is a former version of a key; -o json says where each is kept, and since when.

    activityctl keys list
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    known = wiring.open_keys(session.settings).known()
    if shape == "json":
        items = [_view(key) for key in known]
        print_json(session.out, {"apiVersion": API_VERSION, "kind": "List", "items": items})
        return
    rows: list[View] = [
        {
            "name": key.name if version is key.current else f"{key.name}/{version.number}",
            "kind": key.kind.value,
            "public": version.public,
            "use": _short_use(version),
        }
        for key in known
        for version in key.versions
    ]
    columns = (
        ("NAME", lambda row: row["name"]),
        ("KIND", lambda row: row["kind"]),
        ("ADDRESS OR FINGERPRINT", lambda row: row["public"]),
        ("USE", lambda row: row["use"]),
    )
    print_table(session.out, rows, columns, empty="No keys found.")


@keys.command()
def rotate(
    context: typer.Context,
    name: KnownName,
    overlap: Annotated[
        str,
        typer.Option(help="How long the former version is still accepted.", metavar="DURATION"),
    ] = "24h",
    is_imported: Annotated[
        bool, typer.Option("--import", help="Read the new key in hex instead of making one.")
    ] = False,
    output: TextOrJson = "text",
) -> None:
    """Give a key a new secret. Requests carry signatures of both versions during the overlap.

    activityctl keys rotate rebalancer --overlap 2d
    """
    session: Session = context.obj
    try:
        lasting = parse_duration(overlap)
    except ValueError as error:
        raise UsageError(f"--overlap: {error}") from None
    stores = wiring.open_keys(session.settings)
    stores.one(name)
    text = _read_hidden(f"{name} in hex") if is_imported else None
    held = asyncio.run(stores.rotate(name, text, lasting))
    _print_new(session, stores.one(name), held, "rotated", output, is_secret_shown=not is_imported)


@keys.command()
def remove(
    context: typer.Context,
    name: KnownName,
    version: Annotated[
        int | None,
        typer.Option(help="Only this version, which a rotation has replaced.", metavar="N"),
    ] = None,
    yes: Yes = False,
) -> None:
    """Remove a key with all its versions. What an account owns can then not be moved any more.

    activityctl keys remove rebalancer --version 1
    """
    session: Session = context.obj
    stores = wiring.open_keys(session.settings)
    known = stores.one(name)
    if not yes:
        listed = ", ".join(each.public for each in known.versions if version in {None, each.number})
        require_yes("removing a key", f"Remove key {name} ({listed or 'no such version'})?")
    asyncio.run(stores.remove(name, version))
    session.out.print(f"key/{name} removed" if version is None else f"key/{name}/{version} removed")


def _kind(text: str) -> KeyKind:
    try:
        return KeyKind(text)
    except ValueError:
        raise UsageError(f"unknown kind of key {text!r}", hint="hmac, executor, relayer") from None


def _check_store(store: str | None) -> None:
    if store is not None and store not in _STORES:
        raise UsageError(f"unknown store {store!r}", hint="keyring or file")


def _print_new(
    session: Session,
    key: KnownKey,
    held: HeldKey,
    verb: str,
    output: str,
    *,
    is_secret_shown: bool = True,
) -> None:
    shown = held.current.secret if key.kind is KeyKind.HMAC and is_secret_shown else None
    if check_format(output, ("text", "json")) == "json":
        print_json(session.out, _view(key) | ({} if shown is None else {"hmacKey": shown}))
        return
    place = f"{key.store.text} {key.place}"
    session.out.print(escape_controls(f"key/{key.name} {verb}: {key.current.public}, in {place}"))
    if shown is not None:
        session.out.print(f"hmacKey: {shown}")
        session.err.print("note: the key is shown only now; give it to the executor's service")
    for former in key.versions[1:]:
        session.err.print(f"version {former.number} ({former.public}) is {_use(former)}")


def _view(key: KnownKey) -> View:
    return {
        "name": key.name,
        "kind": key.kind.value,
        ("address" if key.kind.is_account else "fingerprint"): key.current.public,
        "store": key.store.value,
        "place": key.place,
        "versions": [
            {
                "number": each.number,
                ("address" if key.kind.is_account else "fingerprint"): each.public,
                "createdAt": format_timestamp(each.created_at),
                "validUntil": format_timestamp(each.valid_until),
            }
            for each in key.versions
        ],
    }


def _use(version: KeyVersion) -> str:
    ends = version.valid_until
    if ends is None:
        return "signs"
    if ends <= datetime.now(UTC):
        return "no longer accepted"
    return f"accepted until {ends.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def _short_use(version: KeyVersion) -> str:
    """Return the use in at most 18 characters: the table fits in 80."""
    ends = version.valid_until
    if ends is None:
        return "signs"
    return "ended" if ends <= datetime.now(UTC) else f"until {ends.astimezone(UTC):%m-%d %H:%M}Z"


def _read_hidden(what: str) -> str:
    """Ask for a text without showing it; without a terminal, read standard input."""
    if sys.stdin.isatty():
        return getpass.getpass(f"{what}: ", stream=sys.stderr)
    return sys.stdin.buffer.read(_LONGEST).decode("utf-8", "replace").rstrip("\r\n")
