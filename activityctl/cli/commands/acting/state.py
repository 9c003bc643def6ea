"""`activityctl state`: show, set and reset what a subscription keeps for its next run."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated

import typer

from activityctl.cli.confirm import require_yes
from activityctl.cli.many import ListOnly
from activityctl.cli.options import SubscriptionArgument, TextOrJson, Yes, output_option
from activityctl.cli.render.help_page import CommandGroup
from activityctl.cli.render.output import print_json, to_yaml
from activityctl.cli.server_time import server_clock
from activityctl.cli.session import Session
from activityctl.domain.manifests.document import Absent, FieldChange, field_view
from activityctl.domain.values.credentials import mask_credentials
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.untrusted import escape_line
from activityctl.errors import InvalidInputError, UsageError
from activityctl.operations.runs.state import (
    State,
    StateChange,
    change_state,
    preview_state,
    with_values,
    without_keys,
)
from activityctl.wiring import Ports, parse_event_data, parse_json, read_event_data

state = CommandGroup(
    help="""Show or change what a subscription keeps for its next run.

    activityctl state show exchange-rates

    activityctl state set exchange-rates cursor=41 region=eu

    activityctl state reset exchange-rates cursor
    """,
)


@state.command()
def show(
    context: typer.Context,
    subscription: SubscriptionArgument,
    output: Annotated[str, output_option("yaml", "json")] = "yaml",
) -> None:
    """Print the state that the next run reads; credentials are masked.

    activityctl state show exchange-rates -o json
    """
    session: Session = context.obj

    async def read(ports: Ports) -> dict[str, JsonValue]:
        return (await ports.catalog.find_subscription(subscription)).state

    found = mask_credentials(session.with_ports(read))
    if output == "json":
        print_json(session.out, found)
    else:
        session.out.file.write(to_yaml(found))


@state.command("set")
def set_(
    context: typer.Context,
    subscription: SubscriptionArgument,
    values: Annotated[
        list[str],
        typer.Argument(
            metavar="[KEY=VALUE]",
            help="A key and its new value: JSON, or any other text, which is a string.",
        ),
    ] = [],  # noqa: B006  # typer copies it
    file: Annotated[
        str | None,
        typer.Option(
            "--filename",
            "-f",
            help="A JSON object that replaces the whole state: a file, or - for standard input.",
            metavar="PATH",
        ),
    ] = None,
    dry_run: ListOnly = False,
    yes: Yes = False,
    output: TextOrJson = "text",
) -> None:
    """Set keys of the state, or replace it; the history records who did it and what changed.

    Runs that have begun keep the state that they read, and the one that they store replaces this
    one. It asks only before --filename removes keys.

    activityctl state set exchange-rates cursor=41 region=eu 'last={"id": 7}'

    activityctl state set exchange-rates -f state.json
    """
    if bool(values) == (file is not None):
        raise UsageError("give KEY=VALUE or --filename", hint="activityctl state set --help")
    change = with_values(_values(values)) if file is None else _replaced_by(_object_of(file))
    is_sure = yes or file is None
    _change(context.obj, subscription, "state set", change, output, dry_run=dry_run, yes=is_sure)


@state.command()
def reset(
    context: typer.Context,
    subscription: SubscriptionArgument,
    keys: Annotated[
        list[str],
        typer.Argument(metavar="[KEY]", help="The keys to remove; without them all."),
    ] = [],  # noqa: B006  # typer copies it
    dry_run: ListOnly = False,
    yes: Yes = False,
    output: TextOrJson = "text",
) -> None:
    """Remove keys of the state, or all after a question; the history keeps the old values.

    activityctl state reset exchange-rates cursor

    activityctl state reset exchange-rates --dry-run
    """
    change = without_keys(keys)
    is_sure = yes or bool(keys)
    _change(context.obj, subscription, "state reset", change, output, dry_run=dry_run, yes=is_sure)


def _change(
    session: Session,
    reference: str,
    command: str,
    change: Callable[[State], State],
    shape: str,
    *,
    dry_run: bool,  # these are options of the commands
    yes: bool,
) -> None:
    async def preview(ports: Ports) -> tuple[StateChange, int]:
        found = await preview_state(ports.catalog, reference, change)
        open_runs = await ports.run_lists.open_counts()
        return found, open_runs.get(found.subscription.id, 0)

    found, open_runs = session.with_ports(preview)
    name = found.subscription.name
    yes = yes or not any(isinstance(each.new, Absent) for each in found.fields)
    if not dry_run and not yes:
        _print_fields(session, found.fields)
        require_yes(f"to change the state of {name}", f"Change the state of {name}?")
    if open_runs and found.fields:
        count = count_noun(open_runs, "open run")
        session.err.print(f"{count}: what a run stores at its end replaces this state")

    async def write(ports: Ports) -> StateChange:
        clock = await server_clock(ports)
        origin = replace(session.origin, command=command)
        return await change_state(ports.catalog, reference, change, clock, origin)

    if not dry_run:
        found = session.with_ports(write)
    if shape == "json":
        fields = [field_view(each) for each in found.fields]
        print_json(session.out, {"subscription": name, "fields": fields})
        return
    if dry_run or yes:
        _print_fields(session, found.fields)
    done = "would change" if dry_run else "changed"
    session.out.print(f"subscription/{name} state {done if found.fields else 'unchanged'}")


def _print_fields(session: Session, fields: Sequence[FieldChange]) -> None:
    for field in fields:
        before, after = (_shown(value) for value in (field.old, field.new))
        session.err.print(f"  {escape_line(field.path)}: {before} -> {after}")


def _shown(value: JsonValue | Absent) -> str:
    if isinstance(value, Absent):
        return "(none)"
    return escape_line(json.dumps(mask_credentials(value), ensure_ascii=False))


def _values(texts: Sequence[str]) -> dict[str, JsonValue]:
    found: dict[str, JsonValue] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            hint = "-f - reads a whole state" if text.startswith("{") else "write cursor=41"
            raise UsageError(f"not a key and a value: {text!r}", hint=hint)
        try:
            found[key] = parse_json(value, key, example="write KEY=41")
        except InvalidInputError:
            found[key] = value
    return found


def _replaced_by(value: dict[str, JsonValue]) -> Callable[[State], State]:
    return lambda _: value


def _object_of(path: str) -> dict[str, JsonValue]:
    value = parse_event_data(read_event_data(path), path)
    if not isinstance(value, dict):
        raise InvalidInputError(f"{path} is not a JSON object", hint="""write {"cursor": 41}""")
    return value
