"""`activityctl apply`: make Postgres and Temporal agree with manifests."""

from typing import Annotated

import typer

from activityctl import wiring
from activityctl.cli.options import Files, Output, Recursive, Timeout, default_files, seconds_of
from activityctl.cli.output import check_format, print_json, styled
from activityctl.cli.session import Session, now
from activityctl.domain.plan import Action, Plan
from activityctl.domain.view import API_VERSION
from activityctl.errors import RefusedError
from activityctl.operations.apply import Applied
from activityctl.operations.apply import apply as apply_manifests
from activityctl.operations.load import load_manifests
from activityctl.wiring import Ports


def apply(
    context: typer.Context,
    files: Files = [],  # noqa: B006  # typer copies it
    recursive: Recursive = False,
    timeout: Timeout = "30s",
    wait: Annotated[bool, typer.Option(help="Wait until the schedules are in place.")] = True,
    output: Output = "text",
) -> None:
    """Make Postgres and Temporal agree with manifests: all of them, or nothing.

    activityctl apply -f definitions/

    cat order.yaml | activityctl apply -f -
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json"))
    applied = apply_files(
        session, default_files(files), recursive=recursive, timeout=seconds_of(timeout) * wait
    )
    if shape == "json":
        print_json(session.out, _view(applied))
    else:
        print_changes(session, applied.plan)
        say_pending(session, applied, waited=wait)
    if applied.errors:
        raise RefusedError(
            f"Temporal refused {len(applied.errors)} schedules: {applied.errors[0]}",
            hint="activityctl get schedules",
        )


def apply_files(session: Session, paths: list[str], *, recursive: bool, timeout: float) -> Applied:
    """Load, check and apply the manifests."""
    source, kinds = wiring.manifest_source(), wiring.known_kinds()
    manifests = load_manifests(source, paths, kinds, recursive=recursive)

    async def work(ports: Ports) -> Applied:
        return await apply_manifests(
            manifests, ports.catalog, ports.register, ports.workers, now, timeout_seconds=timeout
        )

    return session.with_ports(work)


def print_changes(session: Session, plan: Plan) -> None:
    """Print a line a change and the summary, as kubectl users know them."""
    from rich.text import Text

    for change in plan.changes:
        line = Text(f"{change.kind.lower()}/{change.name} ")
        session.out.print(line.append_text(styled(change.action.value)))
    counts = [f"{plan.count(action)} {action.value}" for action in Action if plan.count(action)]
    session.err.print(", ".join(counts))


def say_pending(session: Session, applied: Applied, *, waited: bool) -> None:
    """Say on stderr what is recorded but not yet carried out."""
    if not applied.pending:
        return
    if not applied.has_worker:
        why = "no worker is alive; it will be carried out when one starts (activityctl status)"
    else:
        why = "the worker is still at it" if waited else "not waited for"
    session.err.print(f"{applied.pending} schedules pending: {why}")


def _view(applied: Applied) -> dict[str, object]:
    plan = applied.plan
    return {
        "apiVersion": API_VERSION,
        "kind": "ApplyResult",
        "changes": [
            {"kind": change.kind, "name": change.name, "action": change.action.value}
            for change in plan.changes
        ],
        "summary": {action.value: plan.count(action) for action in Action},
        "schedules": {"pending": applied.pending, "errors": list(applied.errors)},
    }
