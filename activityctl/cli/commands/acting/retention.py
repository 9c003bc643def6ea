"""`activityctl retention`: show or remove what is kept no longer."""

from collections import Counter
from typing import Annotated, Final

import typer

from activityctl.cli.confirm import require_yes
from activityctl.cli.many import ListOnly
from activityctl.cli.options import TextOrJson, Yes
from activityctl.cli.render.output import age, print_json, print_table
from activityctl.cli.session import Session
from activityctl.domain.values.json_form import View, format_timestamp
from activityctl.domain.values.retention import Keep, RetainedKind, parse_policy
from activityctl.errors import UsageError
from activityctl.operations.runs.retention import preview, sweep
from activityctl.ports import OldRows
from activityctl.wiring import Ports

_OF_RUNS: Final = frozenset({"tasks", "attempts"})


def retention(
    context: typer.Context,
    keep: Annotated[
        str | None,
        typer.Option(
            "--keep",
            help="The policy, such as runs=90d,logs=30d/10000; without it that of the setting "
            "`retention`.",
            metavar="KIND=KEEP,...",
        ),
    ] = None,
    dry_run: ListOnly = False,
    yes: Yes = False,
    output: TextOrJson = "text",
) -> None:
    """Remove old runs, tasks, attempts, logs, dead letters and more; what is needed stays.

    A worker does this once an hour by its setting `retention`; without that, all is kept. An age
    such as 90d, a number such as 1000 for each subscription, or both with a slash: what is beyond
    either goes.

    activityctl retention --dry-run

    activityctl retention --keep runs=90d,logs=30d/10000 --dry-run
    """
    session: Session = context.obj
    policy = _policy(session, keep)
    found = session.with_ports(lambda ports: preview(ports.retention, policy))
    views = [_view(kind, policy[kind], rows) for kind, rows in found.items()]
    total = sum(rows.going for rows in found.values())
    if dry_run or not total:
        _print(session, views, output)
        return
    if not yes:
        _print(session, views, "text", on_stderr=True)
        require_yes("to remove them", "Remove them?")
    session.set_interrupt_message("a part was removed", hint="activityctl retention --dry-run")
    counts: Counter[str] = Counter()

    async def work(ports: Ports) -> None:
        with session.status("removing") as update:

            def tell(kind: RetainedKind, removed: int) -> None:
                counts[kind] += removed
                update(f"removing {kind}: {counts[kind]:,} so far")

            await sweep(ports.retention, policy, tell)

    session.with_ports(work)
    if output == "json":
        print_json(session.out, {"removed": {kind: counts[kind] for kind in policy}})
        return
    for kind in policy:
        count = f"{counts[kind]:,}"
        what = f"{kind} of {count} runs" if kind in _OF_RUNS else f"{count} {kind}"
        session.out.print(f"removed {what}")


def _policy(session: Session, keep: str | None) -> dict[RetainedKind, Keep]:
    text, source = (keep, "--keep") if keep is not None else (session.settings.retention, "")
    policy = parse_policy(text, source or "the setting retention")
    if not policy:
        raise UsageError(
            "there is no policy, so all is kept",
            hint="set ACTIVITYCTL_RETENTION=runs=90d for the worker, or try --keep runs=90d",
        )
    return policy


def _view(kind: RetainedKind, keep: Keep, rows: OldRows) -> View:
    return {
        "kind": kind,
        "keep": str(keep),
        "going": rows.going,
        "staying": rows.held,
        "oldest": format_timestamp(rows.oldest),
    }


def _print(session: Session, views: list[View], shape: str, *, on_stderr: bool = False) -> None:
    if shape == "json":
        print_json(session.out, {"items": views})
        return
    columns = (
        ("KIND", lambda view: view["kind"]),
        ("KEEP", lambda view: view["keep"]),
        ("GOING", lambda view: f"{view['going']:,}{_of_runs(view)}"),
        ("STILL NEEDED", lambda view: f"{view['staying']:,}"),
        ("OLDEST", lambda view: age(view["oldest"])),
    )
    print_table(session.err if on_stderr else session.out, views, columns, empty="")


def _of_runs(view: View) -> str:
    return " runs' " + str(view["kind"]) if view["kind"] in _OF_RUNS else ""
