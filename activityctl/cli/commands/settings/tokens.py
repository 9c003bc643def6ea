"""`activityctl tokens`: make, list and revoke the tokens of the HTTP API."""

import asyncio
import json
import sys
from typing import Annotated, Final

import typer

from activityctl import wiring
from activityctl.cli.options import TextOrJson
from activityctl.cli.render.help_page import CommandGroup
from activityctl.cli.render.output import age, check_format, print_json, print_table
from activityctl.cli.session import Session
from activityctl.cli.verbs.tokens import tokens_of
from activityctl.domain.access.issuer import VerifiedToken, verified_view
from activityctl.domain.access.scope import parse_scope
from activityctl.domain.values.duration import parse_duration
from activityctl.domain.values.json_form import View, list_view
from activityctl.domain.values.untrusted import escape_controls, escape_line
from activityctl.errors import NotAllowedError, UsageError
from activityctl.ports import InvalidTokenError

TokenName = Annotated[str, typer.Argument(help="The token's name.", metavar="NAME")]
_LONGEST_TOKEN: Final = 20_000

tokens = CommandGroup(
    help="""Make, list and revoke the tokens with which programs use the HTTP API.

    activityctl tokens create shop --scope 'emit:type=order.*,source=/shop' --ttl 90d

    activityctl tokens list

    echo "$ID_TOKEN" | activityctl tokens explain

    activityctl guide http-api
    """,
)


@tokens.command()
def create(
    context: typer.Context,
    name: TokenName,
    scope: Annotated[
        list[str],
        typer.Option(
            help="What it may do: read, emit, apply, operate or admin; after a colon on which "
            "objects, such as emit:type=order.*. Repeatable.",
            metavar="SCOPE",
        ),
    ],
    ttl: Annotated[
        str | None,
        typer.Option(
            help="How long it is valid, such as 90d. Default: until it is revoked.",
            metavar="DURATION",
        ),
    ] = None,
    output: TextOrJson = "text",
) -> None:
    """Make a token. Its text is shown now and never again; only its hash is kept.

    activityctl tokens create shop --scope 'emit:type=order.*,source=/shop' --ttl 90d

    activityctl tokens create grafana --scope read

    activityctl tokens create on-call --scope read --scope operate:label=team=payments
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    scopes = [parse_scope(text) for text in scope]
    try:
        _ = None if ttl is None else parse_duration(ttl)
    except ValueError as error:
        raise UsageError(f"--ttl: {error}", hint="--ttl 90d") from None
    view = session.with_ports(lambda ports: tokens_of(session, ports).create(name, scopes, ttl))
    if shape == "json":
        print_json(session.out, view)
        return
    session.out.file.write(f"{view['token']}\n")
    until = "" if ttl is None else f"; it is valid for {ttl}"
    session.err.print(f"token/{name} created{until}; its text is not shown again")


@tokens.command("list")
def list_tokens(context: typer.Context, output: TextOrJson = "text") -> None:
    """List the tokens, with their scopes and their last use; never their texts.

    activityctl tokens list
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    views = session.with_ports(lambda ports: tokens_of(session, ports).all())
    if shape == "json":
        print_json(session.out, list_view(views))
        return
    columns = (
        ("NAME", lambda view: view["name"]),
        ("STATUS", lambda view: view["status"]),
        ("EXPIRES", lambda view: view["expiresAt"] and age(view["expiresAt"])),
        ("LAST USE", _last_use),
        ("SCOPES", lambda view: " ".join(view["scopes"])),
    )
    print_table(session.out, views, columns, empty="No tokens found.")


@tokens.command()
def revoke(context: typer.Context, name: TokenName) -> None:
    """Make a token invalid at once; a repeat changes nothing.

    activityctl tokens revoke shop
    """
    session: Session = context.obj
    session.with_ports(lambda ports: tokens_of(session, ports).revoke(name))
    session.out.print(escape_controls(f"token/{name} revoked"))


@tokens.command()
def explain(context: typer.Context, output: TextOrJson = "text") -> None:
    """Say what a token of another issuer (JWT) may do, or why it is not valid.

    The token is read from standard input. Exit code 6 means that the API refuses it.

    echo "$ID_TOKEN" | activityctl tokens explain

    ACTIVITYCTL_ISSUERS_FILE=issuers.yaml activityctl tokens explain -o json < token.txt
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    if session.settings.issuers_file is None:
        raise UsageError(
            "no issuer is believed: ACTIVITYCTL_ISSUERS_FILE is not set",
            hint="activityctl guide http-api",
        )
    text = sys.stdin.read(_LONGEST_TOKEN).strip()

    async def verify() -> VerifiedToken:
        async with wiring.open_token_verifier(session.settings) as verifier:
            assert verifier is not None  # noqa: S101  # checked above
            return await verifier.verify(text)

    try:
        token = asyncio.run(verify())
    except InvalidTokenError as error:
        raise NotAllowedError(escape_line(f"the token is not valid: {error}")) from None
    view = verified_view(token)
    if not view["scopes"]:
        raise NotAllowedError(
            f"the token is valid, but no rule of issuer {token.issuer.name} fits its claims",
            hint=escape_line(f"its claims: {json.dumps(view['claims'], ensure_ascii=False)}"),
        )
    if shape == "json":
        print_json(session.out, view)
        return
    for name, value in (
        ("actor", view["actor"]),
        ("scopes", " ".join(view["scopes"])),
        ("expires", f"{age(view['expiresAt'])} ({view['expiresAt']})"),
    ):
        session.out.print(escape_controls(f"{name:<8} {value}"), markup=False)


def _last_use(view: View) -> str | None:
    if view["lastUsedAt"] is None:
        return None
    place = f" from {view['lastUsedFrom']}" if view["lastUsedFrom"] else ""
    return f"{age(view['lastUsedAt'])}{place}"
