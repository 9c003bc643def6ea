"""`activityctl apply`: change Postgres and Temporal to match the manifests."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from activityctl.cli.applying import (
    WaitOptions,
    apply_loaded,
    load_files,
    unread_objects,
    with_credentials,
)
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
from activityctl.cli.render.progress import (
    on_interrupt_say_recorded,
    on_interrupt_say_unknown,
    schedule_progress,
)
from activityctl.cli.server_time import server_clock
from activityctl.cli.session import Session, now
from activityctl.cli.told_waits import told_wait
from activityctl.domain.gitops.history import Origin
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.gitops.plan import Action, Wanted
from activityctl.domain.values.plurals import count_noun
from activityctl.errors import InvalidInputError, NotFoundError, UsageError, reason_of
from activityctl.operations.gitops.apply import Applied, apply_saved, wait_for_schedules
from activityctl.operations.gitops.json_form import applied_view
from activityctl.operations.gitops.plan import Planned, plan_of_files, wanted_of
from activityctl.operations.gitops.saved_plan import restore
from activityctl.wiring import Ports


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
        manifests = load_files(session, paths, recursive=recursive, may_be_empty=may_be_empty)
        wanted = wanted_of(
            manifests,
            applyset=applyset,
            prune=prune,
            take_over=take_over,
            allow_empty=allow_empty,
            unread=unread_objects(paths, recursive=recursive, prune=prune),
        )
        if dry_run is not None:
            _dry_run(session, manifests, wanted, dry_run)
            return
        if prune and not yes:
            reviewed = _confirm(session, manifests, wanted)
            applied = _apply_reviewed(session, wanted, reviewed, options, session.origin)
        else:
            applied = apply_loaded(session, manifests, wanted, options)
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
    return _apply_reviewed(session, plan.wanted, plan.fingerprint, options, origin)


def _apply_reviewed(
    session: Session,
    wanted: Wanted,
    made_against: str,
    options: WaitOptions,
    origin: Origin,
) -> Applied:
    """Apply only if the live objects are still those that the plan was made against."""

    async def work(ports: Ports) -> Applied:
        clock = await server_clock(ports)
        plan = await apply_saved(
            wanted,
            made_against,
            ports.catalog,
            clock(),
            origin,
            on_write=partial(on_interrupt_say_unknown, session),
        )
        on_interrupt_say_recorded(session)
        with schedule_progress(session) as on_pending:
            waiting = wait_for_schedules(
                plan,
                ports.register,
                ports.workers,
                timeout_seconds=options.seconds,
                on_pending=on_pending,
                wait_without_worker=options.wait_without_worker,
            )
            return await told_wait(session, ports, waiting, "the change is recorded")

    return session.with_ports(work)


def _dry_run(session: Session, manifests: ManifestSet, wanted: Wanted, where: str) -> None:
    if where not in {"client", "server"}:
        raise UsageError(
            f"--dry-run takes client or server, not {where!r}", hint="activityctl apply --help"
        )
    if where == "client":
        valid = count_noun(len(manifests.locate), "object is", "objects are")
        session.err.print(f"{valid} valid; nothing was changed")
        return

    async def work(ports: Ports) -> None:
        planned = await plan_of_files(manifests, wanted, ports.catalog, ports.run_lists, now)
        print_plan(session.out, with_credentials(session, manifests, planned).view)

    session.with_ports(work)
    session.err.print("nothing was changed")


def _confirm(session: Session, manifests: ManifestSet, wanted: Wanted) -> str:
    """List the objects that would be deleted and ask for confirmation.

    Returns the fingerprint of the live objects that the list was made from. Only while it is the
    same, the answer counts.
    """

    async def work(ports: Ports) -> Planned:
        return await plan_of_files(manifests, wanted, ports.catalog, ports.run_lists, now)

    planned = session.with_ports(work)
    deleted = [
        f"{change.kind.lower()}/{change.name}"
        for change in planned.plan.changes
        if change.action is Action.DELETED
    ]
    if not deleted:
        return planned.fingerprint
    objects = count_noun(len(deleted), "object")
    emptied = ", which empties it" if wanted.is_empty else ""
    session.err.print(f"{objects} of the apply set {wanted.applyset} will be deleted{emptied}:")
    for name in deleted:
        session.err.print(f"  - {name}")
    require_yes("pruning", "Delete them?")
    return planned.fingerprint
