"""`activityctl executor`: try out an executor's service."""

import asyncio
import json
from dataclasses import replace
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from activityctl import wiring
from activityctl.cli.completion import key_names
from activityctl.cli.options import TextOrJson
from activityctl.cli.render.check_text import print_check, verdict_counts
from activityctl.cli.render.help_page import CommandGroup
from activityctl.cli.render.output import check_format, print_json
from activityctl.cli.session import Session, now
from activityctl.domain.chain.account import Account
from activityctl.domain.chain.conformance import Check
from activityctl.domain.chain.hook_signatures import SignatureProfile
from activityctl.domain.chain.keys import KeyKind
from activityctl.domain.values.finding import findings_of
from activityctl.domain.values.time_range import parse_seconds
from activityctl.errors import UsageError
from activityctl.operations.kit.register import Registered, read_config, register_executor
from activityctl.operations.looking.executor_check import ExecutorCheck, ExecutorService
from activityctl.wiring import Ports

_ACCOUNT = "0x8a17fe295bf517fbc148f565e5d6a2fe4f930cba"
_EXECUTOR = "0xd1f745f0d14918a2c1e31153f2492891e4526ea4"

executor = CommandGroup(
    help="""Register executors of on-chain accounts, and try out their services.

    activityctl executor test http://localhost:3000 --key rebalancer

    activityctl executor register config.json

    activityctl guide builder-kit
    """,
)


@executor.command("register")
def register(
    context: typer.Context,
    file: Annotated[
        str, typer.Argument(help="The request in JSON; - for standard input.", metavar="FILE")
    ],
    output: TextOrJson = "text",
) -> None:
    """Register an executor by the request that it has signed, as POST /v1/config does.

    Makes its keys on this machine and applies a definition in a set of its own. The HMAC key is
    shown now and never again.

    activityctl executor register config.json -o json
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    request = read_config(wiring.parse_event_data(wiring.read_event_data(file), file))
    keys = wiring.open_keys(session.settings)

    async def work(ports: Ports) -> Registered:
        kinds = wiring.known_kinds()
        origin = replace(session.origin, command="register")
        return await register_executor(request, ports.catalog, keys, kinds, now, origin=origin)

    with wiring.evaluating():
        made = session.with_ports(work)
    if shape == "json":
        print_json(session.out, made.view)
        return
    for name, value in made.view.items():
        shown = ", ".join(value) if isinstance(value, list) else value
        session.out.print(f"{name}: {'-' if shown is None else shown}", soft_wrap=True)
    session.err.print(
        f"registered as definition {made.name}; keep hmacKey now, it is not shown again",
        soft_wrap=True,
    )


@executor.command("test")
def check_executor(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="The service's baseURL.", metavar="URL")],
    key: Annotated[
        str,
        typer.Option(
            help="The HMAC key that the service knows, by its name in `keys list`.",
            metavar="NAME",
            autocompletion=key_names,
        ),
    ],
    executor_address: Annotated[
        str, typer.Option("--executor", help="The executor's address.", metavar="ADDRESS")
    ] = _EXECUTOR,
    account: Annotated[
        str, typer.Option(help="The account that requests are about.", metavar="ADDRESS")
    ] = _ACCOUNT,
    chain_id: Annotated[int, typer.Option(help="The chain's number.", metavar="N")] = 8453,
    metadata: Annotated[
        str,
        typer.Option(help="The subscription's metadata, a JSON object.", metavar="JSON"),
    ] = "{}",
    signatures: Annotated[
        str,
        typer.Option(help="As in a definition.", metavar="builder-kit|standard-webhooks|both"),
    ] = "both",
    verify_payload: Annotated[
        bool,
        typer.Option(
            "--verify-payload/--no-verify-payload", help="Whether responses must be signed."
        ),
    ] = True,
    timeout: Annotated[
        str, typer.Option(help="The longest time for one request.", metavar="DURATION")
    ] = "30s",
    output: TextOrJson = "text",
) -> None:
    """Send good and bad requests to a service and judge its answers; exit 1 if one is wrong.

    It asks the service what to do for an account, twice with the same request id, with wrong
    signatures, and tells it outcomes. Nothing is sent to a chain.

    activityctl executor test http://localhost:3000 --key rebalancer

    activityctl executor test https://executor.example --key rebalancer -o json
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    held = asyncio.run(wiring.open_keys(session.settings).read(key, KeyKind.HMAC))
    tested = ExecutorService(
        url.rstrip("/"),
        held.current.secret,
        _account(chain_id, account),
        executor_address,
        "conformance-test",
        _object(metadata),
        _profile(signatures),
        verify_payload,
        parse_seconds(timeout),
    )
    checks = asyncio.run(_run(session, tested, is_shown=shape == "text"))
    counts = verdict_counts(checks)
    if shape == "json":
        items = [each.as_json() for each in checks]
        print_json(session.out, {"url": tested.url, "checks": items, "summary": counts})
    else:
        told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
        session.out.print(f"\n{told}")
    if counts["failed"]:
        raise typer.Exit(1)


async def _run(session: Session, tested: ExecutorService, *, is_shown: bool) -> list[Check]:
    sender = wiring.unguarded_hook_client()
    done = []
    try:
        async for check in ExecutorCheck(sender, tested).checks():
            done.append(check)
            if is_shown:
                print_check(session.out, check)
    finally:
        await sender.close()
    return done


def _account(chain_id: int, address: str) -> Account:
    try:
        return Account.model_validate({"chainId": chain_id, "subAccountAddress": address})
    except ValidationError as error:
        found = findings_of(error)[0]
        raise UsageError(f"the account cannot be used: {found.reason}") from None


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"--metadata is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise UsageError("--metadata should be a JSON object")
    return value


def _profile(text: str) -> SignatureProfile:
    try:
        return SignatureProfile(text)
    except ValueError:
        hint = ", ".join(SignatureProfile)
        raise UsageError(f"unknown signatures {text!r}", hint=hint) from None
