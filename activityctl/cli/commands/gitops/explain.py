"""`activityctl explain`: explain a field of a manifest, or which triggers match an event.

The texts on fields come from the JSON Schema. Events are explained in `cli.explain_event`.
"""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from activityctl import wiring
from activityctl.cli.completion import source_names
from activityctl.cli.options import SubscriptionOption, output_option
from activityctl.cli.render.output import check_format, print_json, to_yaml
from activityctl.cli.session import Session
from activityctl.domain.manifests.explain import Explanation, explanation_json, kinds_explained
from activityctl.domain.manifests.explain import explain_field as explain_path
from activityctl.domain.manifests.schema import document_schema
from activityctl.domain.values.untrusted import escape_controls
from activityctl.errors import UsageError
from activityctl.operations.looking.kinds import name_of

if TYPE_CHECKING:
    from rich.console import Console

_EVENT: Final = "event"


def explain(
    context: typer.Context,
    path: Annotated[
        str | None,
        typer.Argument(
            help="A field, such as definition.spec.triggers.cron, or the word event. Without it, "
            "list the kinds of manifests."
        ),
    ] = None,
    event: Annotated[
        str | None,
        typer.Argument(
            help="After the word event: the event's id or uid, or the first characters of either.",
            metavar="ID",
        ),
    ] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--filename",
            "-f",
            help="A file with events that are not stored; - for standard input. With --source: a "
            "saved HTTP request.",
            metavar="PATH",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            help="The event source that the HTTP request of --filename is for.",
            metavar="NAME",
            autocompletion=source_names,
        ),
    ] = None,
    subscription: SubscriptionOption = None,
    output: Annotated[
        str,
        output_option(
            "text",
            "json",
            note="; for events also wide, which shows all triggers",
            noted=("wide",),
        ),
    ] = "text",
) -> None:
    """Explain a field of a manifest, or which triggers match an event and why others do not.

    activityctl explain definition.spec.triggers.cron.schedule

    activityctl explain event 8c1f2a3b

    activityctl explain event -f event.json --subscription eu-orders

    activityctl explain event -f request.http --source code-host
    """
    session: Session = context.obj
    if path is not None and path.startswith(f"{_EVENT}/"):
        path, event = _EVENT, _given_once(path, event)
    is_event = path == _EVENT
    event = None if event is None else name_of(event, "events")
    shape = check_format(output, ("text", "wide", "json") if is_event else ("text", "json"))
    if is_event:
        from activityctl.cli.explain_event import explain_event, explain_request

        if source is not None:
            if file is None or event is not None:
                raise UsageError(
                    "--source needs a file with an HTTP request, and no id",
                    hint="activityctl explain event -f request.http --source NAME",
                )
            explain_request(session, name_of(source, "sources"), file, subscription, shape)
            return
        explain_event(session, event, file, subscription, shape)
        return
    if event or file or subscription or source:
        raise UsageError(
            "an id, --filename, --source and --subscription are only for events",
            hint="activityctl explain event ID",
        )
    schema = document_schema(wiring.known_kinds())
    explanation = explain_path(schema, path) if path else kinds_explained(schema)
    if shape == "json":
        print_json(session.out, explanation_json(explanation))
    else:
        _print(session.out, explanation)


def _given_once(path: str, event: str | None) -> str:
    """Return `event/ID`; UsageError if an id follows it."""
    if event is not None:
        raise UsageError(f"{path} and {event} are two events", hint="give one event")
    return path


def _print(console: "Console", explanation: Explanation) -> None:
    template = ", or text with ${ … }" if explanation.takes_templates else ""
    lines = [
        ("FIELD", explanation.path),
        ("TYPE", explanation.type + template),
        ("REQUIRED", "yes" if explanation.is_required else ""),
        ("DEFAULT", to_inline(explanation.default)),
        ("ONE OF", ", ".join(explanation.one_of)),
    ]
    for label, text in lines:
        if text:
            console.print(f"{label + ':':<10}{escape_controls(text)}")
    console.print(f"\n{escape_controls(explanation.description)}")
    if explanation.fields:
        console.print("\nFIELDS:")
        for field in explanation.fields:
            mark = " (required)" if field.is_required else ""
            console.print(f"  {field.name}  <{escape_controls(field.type)}>{mark}", style="bold")
            if field.description:
                console.print(f"      {escape_controls(field.description)}")
    if explanation.example is not None:
        console.print("\nEXAMPLE:")
        key = explanation.example_key
        example = {key: explanation.example} if key else explanation.example
        console.print("  " + to_yaml(example).rstrip().replace("\n", "\n  "))


def to_inline(value: object) -> str:
    """Return the value as JSON on one line, or an empty text for None."""
    import json

    return "" if value is None else json.dumps(value, ensure_ascii=False)
