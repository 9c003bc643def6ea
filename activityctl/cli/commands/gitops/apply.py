"""`activityctl apply`: change Postgres and Temporal to match the manifests."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from activityctl.cli.applying import load_files, unread_objects, with_options
from activityctl.cli.confirm import require_yes
from activityctl.cli.options import (
    AllowEmpty,
    ApplySet,
    Files,
    Prune,
    Recursive,
    TakeOver,
    TextOrJson,
    Timeout,
    WaitForSchedules,
    Yes,
    default_files,
)
from activityctl.cli.pending_schedules import report_pending, seconds_to_wait
from activityctl.cli.render.apply_text import print_changes
from activityctl.cli.render.output import check_format, print_json
from activityctl.cli.render.plan_text import print_plan
from activityctl.cli.session import Session
from activityctl.cli.verbs.gitops import Loaded, SavedText, WaitOptions, gitops_of
from activityctl.domain.gitops.plan import Action
from activityctl.domain.values.plurals import count_noun
from activityctl.errors import InvalidInputError, NotFoundError, UsageError, reason_of
from activityctl.operations.gitops.apply import Applied
from activityctl.operations.gitops.json_form import applied_view
from activityctl.operations.gitops.saved_plan import restore


def apply(
    context: typer.Context,
    saved: Annotated[
        Path | None,
        typer.Argument(metavar="[PLAN]", help="Apply this plan, saved by `plan --out`."),
    ] = None,
    files: Files = [],  # noqa: B006  # typer copies it
    recursive: Recursive = False,
    applyset: ApplySet = None,
    prune: Prune = False,
    take_over: TakeOver = False,
    allow_empty: AllowEmpty = False,
    yes: Yes = False,
    dry_run: Annotated[
        str | None,
        typer.Option(
            help="Change nothing. client: only check the files; server: show the plan.",
            metavar="WHERE",
        ),
    ] = None,
    timeout: Timeout = "30s",
    wait: WaitForSchedules = None,
    output: TextOrJson = "text",
) -> None:
    """Change Postgres and Temporal to match the manifests: apply all of them or none.

    Without -f, read the folder definitions/. --prune asks for confirmation before it deletes.

    activityctl apply -f definitions/

    activityctl apply -f definitions/ --applyset shop --prune

    activityctl plan -f definitions/ --out plan.json && activityctl apply plan.json
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    session.set_interrupt_message("nothing was changed")
    options = WaitOptions(seconds_to_wait(timeout, wait=wait), wait_without_worker=wait is True)
    if saved is not None:
        if files or applyset or prune or take_over or allow_empty or dry_run:
            raise UsageError(
                "a saved plan cannot be combined with -f, --applyset, --prune, --take-over, "
                "--allow-empty or --dry-run",
                hint=f"activityctl apply {saved}",
            )
        applied = _apply_saved(session, saved, options)
    else:
        paths = default_files(files)
        may_be_empty = prune and (allow_empty or dry_run != "client")
        loaded = with_options(
            load_files(session, paths, recursive=recursive, may_be_empty=may_be_empty),
            applyset=applyset,
            prune=prune,
            take_over=take_over,
            allow_empty=allow_empty,
            unread=unread_objects(paths, recursive=recursive, prune=prune),
        )
        if dry_run is not None:
            _dry_run(session, loaded, dry_run)
            return
        reviewed = _confirm(session, loaded) if prune and not yes else None
        applied = session.with_ports(
            lambda ports: gitops_of(session, ports).apply(loaded, options, reviewed)
        )
    if shape == "json":
        print_json(session.out, applied_view(applied))
    else:
        print_changes(session, applied.plan)
    report_pending(session, applied, wait=wait, is_shown=shape == "json")


def _apply_saved(session: Session, path: Path, options: WaitOptions) -> Applied:
    try:
        if not path.is_file():  # a FIFO would be waited for
            path.stat()
            raise InvalidInputError(
                f"{path} is not a regular file", hint="activityctl plan -f ... --out FILE"
            )
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        raise NotFoundError("saved plan", str(path)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            f"{path} cannot be read: {reason_of(error)}",
            hint="activityctl plan -f ... --out FILE",
        ) from error
    plan = restore(text, str(path))
    session.files = ["-"]
    origin = session.origin
    if plan.knows_commit:
        origin = replace(origin, source_commit=plan.source_commit)
    found = SavedText(text, plan.wanted, plan.fingerprint, origin)
    return session.with_ports(lambda ports: gitops_of(session, ports).apply_saved(found, options))


def _dry_run(session: Session, loaded: Loaded, where: str) -> None:
    if where not in {"client", "server"}:
        raise UsageError(
            f"--dry-run takes client or server, not {where!r}", hint="activityctl apply --help"
        )
    if where == "client":
        valid = count_noun(len(loaded.manifests.locate), "object is", "objects are")
        session.err.print(f"{valid} valid; nothing was changed")
        return

    planned = session.with_ports(lambda ports: gitops_of(session, ports).plan(loaded))
    print_plan(session.out, planned.view)
    session.err.print("nothing was changed")


def _confirm(session: Session, loaded: Loaded) -> str:
    """List the objects that would be deleted and ask for confirmation.

    Returns the fingerprint of the live objects that the list was made from. Only while it is the
    same, the answer counts.
    """
    view, reviewed = session.with_ports(lambda ports: gitops_of(session, ports).review(loaded))
    wanted = loaded.wanted
    deleted = [
        f"{change['kind'].lower()}/{change['name']}"
        for change in view["changes"]
        if change["action"] == Action.DELETED
    ]
    if not deleted:
        return reviewed
    objects = count_noun(len(deleted), "object")
    emptied = ", which empties it" if wanted.is_empty else ""
    session.err.print(f"{objects} of the apply set {wanted.applyset} will be deleted{emptied}:")
    for name in deleted:
        session.err.print(f"  - {name}")
    require_yes("pruning", "Delete them?")
    return reviewed
