"""`activityctl validate`: everything that can be said of manifests without a server."""

import typer

from activityctl import wiring
from activityctl.cli.options import Files, Output, Recursive, default_files
from activityctl.cli.render.output import check_format, escape_controls, print_json, styled
from activityctl.cli.session import Session
from activityctl.domain.values.json_form import API_VERSION, problem_view
from activityctl.domain.values.plurals import count_noun
from activityctl.errors import InvalidManifestsError
from activityctl.operations.gitops.validate import Validation
from activityctl.operations.gitops.validate import validate as validate_manifests


def validate(
    context: typer.Context,
    files: Files = [],  # noqa: B006  # typer copies it
    recursive: Recursive = False,
    output: Output = "text",
) -> None:
    """Check manifests without a server: all that apply checks offline, every problem at once.

    activityctl validate -f definitions/ -R

    cat order.yaml | activityctl validate -f - -o json
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    named = default_files(files)
    found = validate_manifests(
        wiring.manifest_source(), named, wiring.known_kinds(), recursive=recursive
    )
    if shape == "json":
        print_json(session.out, _view(found))
    if found.problems:
        raise InvalidManifestsError(found.problems)
    if shape == "text":
        _print(session, found)


def _print(session: Session, found: Validation) -> None:
    from rich.text import Text

    for one in found.objects:
        label = f"{one.kind.lower()}/{one.name}"
        session.out.print(Text(f"{label} ").append_text(styled("valid")))
        if one.note:
            session.err.print(f"note: {label}: {escape_controls(one.note)}")
    files = len({one.file for one in found.objects})
    session.err.print(
        f"{count_noun(len(found.objects), 'object')} in {count_noun(files, 'file')} valid"
    )


def _view(found: Validation) -> dict[str, object]:
    return {
        "apiVersion": API_VERSION,
        "kind": "ValidateResult",
        "objects": [
            {
                "kind": one.kind,
                "name": one.name,
                "file": one.file,
                "line": one.line,
                "valid": one.is_valid,
                "note": one.note,
            }
            for one in found.objects
        ],
        "problems": [problem_view(problem) for problem in found.problems],
    }
