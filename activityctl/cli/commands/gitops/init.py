"""`activityctl init`: create a working folder with a sample."""

import json
import shlex
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final

import typer

from activityctl import wiring
from activityctl.cli.session import Session
from activityctl.domain.manifests.schema import document_schema
from activityctl.domain.values.untrusted import escape_controls
from activityctl.errors import UsageError
from activityctl.operations.gitops.init import scaffold
from activityctl.version import VERSION

_FILES: Final = {
    "definitions/hello.yaml": "hello.yaml",
    "README.md": "readme.md",
    ".gitignore": "gitignore",
}
_INSTALLATION: Final = {  # what each workflow installs, with hashes, and how
    f".activityctl/{name}": name
    for name in ("install.sh", "requirements.txt", "build-requirements.txt")
}
_WORKFLOWS: Final = {
    "github": {".github/workflows/activityctl.yml": "github.yml", **_INSTALLATION},
    "gitlab": {".gitlab-ci.yml": "gitlab.yml", **_INSTALLATION},
    "github-http": {".github/workflows/activityctl.yml": "github-http.yml", **_INSTALLATION},
    "gitlab-http": {".gitlab-ci.yml": "gitlab-http.yml", **_INSTALLATION},
    "none": {},
}


def init(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="The folder; created if it does not exist.")
    ] = Path(),
    ci: Annotated[
        str,
        typer.Option(
            help="Which CI workflow to create: github, gitlab or none; github-http or "
            "gitlab-http for one that speaks to the HTTP API, without a secret.",
            metavar="SERVICE",
        ),
    ] = "github",
    force: Annotated[bool, typer.Option(help="Overwrite existing files.")] = False,
) -> None:
    """Create a working folder with a sample, its JSON Schema, a README and a CI workflow.

    The workflow installs this version of activityctl and fixed versions of its libraries, all with
    hashes. The README says which secrets the CI service needs, or none.

    activityctl init automations --ci gitlab
    """
    session: Session = context.obj
    if ci not in _WORKFLOWS:
        raise UsageError(f"unknown CI service {ci!r}", hint="use " + ", ".join(_WORKFLOWS))
    templates = files("activityctl.cli") / "templates"
    contents = {
        path: (templates / name).read_text("utf-8").replace("@VERSION@", VERSION)
        for path, name in {**_FILES, **_WORKFLOWS[ci]}.items()
    }
    access = "ci-http.md" if ci.endswith("-http") else "ci-database.md"
    readme = contents["README.md"]
    contents["README.md"] = readme.replace("@CI_ACCESS@", (templates / access).read_text("utf-8"))
    schema = json.dumps(document_schema(wiring.known_kinds()), indent=2)
    contents["activityctl.schema.json"] = schema + "\n"
    for path in scaffold(folder, contents, force=force):
        session.out.print(escape_controls(str(path)))
    change_folder = "" if folder == Path() else f"cd {shlex.quote(str(folder))} && "
    session.err.print(f"next: {escape_controls(change_folder)}activityctl up -d -f definitions/")
