"""`activityctl breaker`: open and close circuit breakers by hand."""

from typing import Annotated

import typer

from activityctl.cli.render.help_page import CommandGroup
from activityctl.cli.session import Session
from activityctl.operations.looking.kinds import name_of
from activityctl.operations.runs.turn_breaker import turn_breaker
from activityctl.ports import BreakerChange
from activityctl.wiring import Ports

BreakerName = Annotated[
    str, typer.Argument(help="The breaker's name: a host, or a name from YAML.", metavar="NAME")
]
Reason = Annotated[
    str | None, typer.Option(help="Why; tasks that wait and `get breakers` show it.")
]

breaker = CommandGroup(
    help="""Open a circuit breaker so that tasks leave a destination alone, or close it again.

    activityctl get breakers

    activityctl breaker open api.crm.example --reason "maintenance until 18:00"

    activityctl breaker close api.crm.example

    activityctl guide breakers-and-limits
    """,
)


@breaker.command("open")
def open_breaker(context: typer.Context, name: BreakerName, reason: Reason = None) -> None:
    """Open a breaker until somebody closes it; its tasks wait, or fail if they ask for that.

    activityctl breaker open api.crm.example --reason "maintenance until 18:00"
    """
    _turn(context.obj, name, is_open=True, reason=reason)


@breaker.command("close")
def close_breaker(context: typer.Context, name: BreakerName, reason: Reason = None) -> None:
    """Close a breaker, so that its tasks go on without a probe.

    activityctl breaker close api.crm.example
    """
    _turn(context.obj, name, is_open=False, reason=reason)


def _turn(session: Session, name: str, *, is_open: bool, reason: str | None) -> None:
    plain = name_of(name, "breakers")

    async def work(ports: Ports) -> BreakerChange:
        return await turn_breaker(ports.guards, plain, is_open=is_open, reason=reason)

    change = session.with_ports(work)
    before, after = change.before.status.value, change.after.status.value
    note = "was so before" if before == after else f"was {before.replace('_', '-')}"
    session.out.print(f"breaker/{change.after.name} {after} ({note})")
