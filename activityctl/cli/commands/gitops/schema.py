"""`activityctl schema`: print the JSON Schema of manifests, for editors and other tools."""

from typing import Annotated

import typer

from activityctl import wiring
from activityctl.cli.render.output import print_json
from activityctl.cli.session import Session
from activityctl.domain.manifests.explain import kind_named
from activityctl.domain.manifests.schema import document_schema


def schema(
    context: typer.Context,
    kind: Annotated[
        str | None,
        typer.Argument(
            help="Only this kind: definition, subscription or calendar (def, sub, cal)."
        ),
    ] = None,
) -> None:
    """Print the JSON Schema (draft 2020-12) with which an editor checks and completes manifests.

    activityctl schema > activityctl.schema.json

    activityctl schema definition
    """
    session: Session = context.obj
    only = kind_named(kind) if kind else None
    print_json(session.out, document_schema(wiring.known_kinds(), only))
