"""`activityctl validate`: check manifests without a server."""

import typer

from activityctl import wiring
from activityctl.cli.options import Files, Recursive, TextOrJson, default_files
from activityctl.cli.render.output import check_format, print_json, styled
from activityctl.cli.session import Session
from activityctl.domain.values.plurals import count_noun
from activityctl.domain.values.untrusted import escape_controls
from activityctl.errors import InvalidManifestsError
from activityctl.operations.gitops.json_form import validation_view
from activityctl.operations.gitops.validate import Validation
from activityctl.operations.gitops.validate import validate as validate_manifests


def validate(
    context: typer.Context,
    files: Files = [],  # noqa: B006  # typer copies it
    recursive: Recursive = False,
    output: TextOrJson = "text",
) -> None:
    """Check manifests without a server and report every problem at once.

    These are the checks of apply that need no server. Without -f, read the folder definitions/.

    activityctl validate -f definitions/ -R

    cat order.yaml | activityctl validate -f - -o json
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    paths = default_files(files)
    with wiring.evaluating():
        validation = validate_manifests(
            wiring.manifest_source(), paths, wiring.known_kinds(), recursive=recursive
        )
    if shape == "json":
        print_json(session.out, validation_view(validation))
    if validation.problems:
        raise InvalidManifestsError(validation.problems)
    if shape == "text":
        _print(session, validation)


def _print(session: Session, validation: Validation) -> None:
    from rich.text import Text

    for checked in validation.objects:
        label = f"{checked.kind.lower()}/{checked.name}"
        session.out.print(Text(f"{label} ").append_text(styled("valid")))
        if checked.note:
            session.err.print(f"note: {label}: {escape_controls(checked.note)}")
    files = len({checked.file for checked in validation.objects})
    objects = count_noun(len(validation.objects), "object")
    session.err.print(f"{objects} in {count_noun(files, 'file')} valid")
    if validation.secrets:
        needed = ", ".join(validation.secrets)
        session.err.print(f"secrets that they need: {escape_controls(needed)}")
