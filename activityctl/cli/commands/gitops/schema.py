"""`activityctl schema`: print the JSON Schema of manifests, for editors and other tools."""

from typing import Annotated

import typer

from activityctl import wiring
from activityctl.cli.render.output import print_json
from activityctl.cli.session import Session
from activityctl.domain.events.envelope_schema import ENVELOPE_SCHEMA
from activityctl.domain.manifests.explain import kind_named
from activityctl.domain.manifests.schema import document_schema


def schema(
    context: typer.Context,
    kind: Annotated[
        str | None,
        typer.Argument(
            help="Only this kind: definition, subscription, calendar or source (def, sub, cal, "
            "src); or event."
        ),
    ] = None,
) -> None:
    """Print the JSON Schema (draft 2020-12) with which an editor checks and completes manifests.

    `schema event` prints the schema of an event, for senders.

    activityctl schema > activityctl.schema.json

    activityctl schema definition

    activityctl schema event
    """
    session: Session = context.obj
    if kind == "event":
        print_json(session.out, ENVELOPE_SCHEMA)
        return
    only = kind_named(kind) if kind else None
    print_json(session.out, document_schema(wiring.known_kinds(), only))
