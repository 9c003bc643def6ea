"""`activityctl explain`: what a field of a manifest means, or what triggers make of an event.

Fields are told from the same source as `schema`; events are `explain_event`'s.
"""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from activityctl import wiring
from activityctl.cli.completion import subscription_names
from activityctl.cli.render.output import check_format, escape_controls, print_json, to_yaml
from activityctl.cli.session import Session
from activityctl.domain.manifests.explain import Explanation, explanation_json, kinds_explained
from activityctl.domain.manifests.explain import explain_field as explain_path
from activityctl.domain.manifests.schema import document_schema
from activityctl.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

_EVENT: Final = "event"


def explain(
    context: typer.Context,
    path: Annotated[
        str | None,
        typer.Argument(
            help="A field, such as definition.spec.triggers.cron; none for the kinds; or event."
        ),
    ] = None,
    event: Annotated[
        str | None,
        typer.Argument(help="After `event`: its id or uid, or a prefix of one.", metavar="ID"),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option("--filename", "-f", help="Explain the events of a file.", metavar="PATH"),
    ] = None,
    subscription: Annotated[
        str | None,
        typer.Option(
            "--subscription",
            "-s",
            help="Only what this one makes of the event.",
            autocompletion=subscription_names,
            metavar="SUB",
        ),
    ] = None,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            help="text or json; of an event also wide: every trigger.",
            metavar="FORMAT",
        ),
    ] = "text",
) -> None:
    """Say what a field means, or which part of a trigger decides about an event, with its value.

    activityctl explain definition.spec.triggers.cron.schedule

    activityctl explain event 8c1f2a3b

    activityctl explain event -f event.json --subscription eu-orders
    """
    session: Session = context.obj
    is_event = path == _EVENT
    shape = check_format(output, ("text", "wide", "json") if is_event else ("text", "json"))
    if is_event:
        from activityctl.cli.explain_event import explain_event

        explain_event(session, event, file, subscription, shape)
        return
    if event or file or subscription:
        raise UsageError(
            "an id, --filename and --subscription belong to events",
            hint="activityctl explain event ID",
        )
    schema = document_schema(wiring.known_kinds())
    found = explain_path(schema, path) if path else kinds_explained(schema)
    if shape == "json":
        print_json(session.out, explanation_json(found))
    else:
        _print(session.out, found)


def _print(console: "Console", found: Explanation) -> None:
    lines = [
        ("FIELD", found.path),
        ("TYPE", found.type + (", or text with ${ … }" if found.takes_templates else "")),
        ("REQUIRED", "yes" if found.is_required else ""),
        ("DEFAULT", to_inline(found.default)),
        ("ONE OF", ", ".join(found.one_of)),
    ]
    for label, text in lines:
        if text:
            console.print(f"{label + ':':<10}{escape_controls(text)}")
    console.print(f"\n{escape_controls(found.description)}")
    if found.fields:
        console.print("\nFIELDS:")
        for line in found.fields:
            mark = " (required)" if line.is_required else ""
            console.print(f"  {line.name}  <{escape_controls(line.type)}>{mark}", style="bold")
            if line.description:
                console.print(f"      {escape_controls(line.description)}")
    if found.example is not None:
        console.print("\nEXAMPLE:")
        name = found.path.rsplit(".", 1)[-1]
        example = found.example if "." not in found.path else {name: found.example}
        console.print("  " + to_yaml(example).rstrip().replace("\n", "\n  "))


def to_inline(value: object) -> str:
    """Return a default on one line, empty for none."""
    import json

    return "" if value is None else json.dumps(value, ensure_ascii=False)
