"""`activityctl diff`: compare the live objects with the manifests, as a unified diff of YAML."""

import difflib
from collections.abc import Iterator

import typer

from activityctl.cli.applying import load_files
from activityctl.cli.options import Files, Recursive, default_files
from activityctl.cli.render.output import to_yaml
from activityctl.cli.session import Session
from activityctl.cli.verbs.gitops import gitops_of
from activityctl.domain.manifests.document import Document
from activityctl.domain.values.untrusted import escape_controls
from activityctl.errors import RefusedError, UnreachableError

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
    loaded = load_files(session, default_files(files), recursive=recursive)
    try:
        compared = session.with_ports(lambda ports: gitops_of(session, ports).diff(loaded))
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
    old = to_yaml(live).splitlines() if live else []
    new = to_yaml(wanted).splitlines() if wanted else []
    if old == new:
        yield f"# {name}: only credentials differ, which are not shown"
    yield from difflib.unified_diff(old, new, f"live/{name}", f"files/{name}", lineterm="")
