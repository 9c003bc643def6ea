"""`activityctl diff`: compare the live objects with the manifests, as a unified diff of YAML."""

import difflib
from collections.abc import Iterator
from dataclasses import replace

import typer

from activityctl import wiring
from activityctl.cli.options import Files, Recursive, default_files
from activityctl.cli.render.output import to_yaml
from activityctl.cli.session import Session, now
from activityctl.domain.bodies.secret_texts import mask_literals
from activityctl.domain.manifests.document import Document, is_same_json
from activityctl.domain.values.untrusted import escape_controls
from activityctl.errors import RefusedError, UnreachableError
from activityctl.operations.gitops.load import load_manifests
from activityctl.operations.gitops.plan import documents, plan_of_files
from activityctl.wiring import Ports

_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def diff(
    context: typer.Context,
    files: Files = [],  # noqa: B006  # typer copies it
    recursive: Recursive = False,
) -> None:
    """Show how the live objects differ from the manifests, as a diff of YAML.

    Exit 0 if they are equal, 1 if they differ, above 1 for an error. Without -f, read the folder
    definitions/.

    activityctl diff -f definitions/
    """
    session: Session = context.obj
    with wiring.evaluating():
        manifests = load_manifests(
            wiring.manifest_source(),
            default_files(files),
            wiring.known_kinds(),
            recursive=recursive,
        )

    async def work(ports: Ports) -> list[tuple[str, Document | None, Document | None]]:
        planned = await plan_of_files(
            manifests,
            replace(manifests.wanted, take_over=True),
            ports.catalog,
            ports.run_lists,
            now,
        )
        return documents(planned.plan, planned.present)

    try:
        compared = session.with_ports(work)
    except RefusedError as error:  # a database without our schema; exit 1 would mean a difference
        raise UnreachableError(error.message, hint=error.hint) from error
    differs = False
    for name, live, wanted in compared:
        for line in _unified(name, live, wanted):
            differs = True
            session.out.print(escape_controls(line), style=_STYLES.get(line[:1], ""))
    if differs:
        raise typer.Exit(1)


def _unified(name: str, live: Document | None, wanted: Document | None) -> Iterator[str]:
    if is_same_json(live, wanted):
        return
    old = to_yaml(mask_literals(live)).splitlines() if live else []
    new = to_yaml(mask_literals(wanted)).splitlines() if wanted else []
    if old == new:
        yield f"# {name}: only credentials differ, which are not shown"
    yield from difflib.unified_diff(old, new, f"live/{name}", f"files/{name}", lineterm="")
