"""`activityctl logs`: print or follow the log of subscriptions or of one run."""

import re
from collections.abc import AsyncIterator
from typing import Annotated

import typer

from activityctl.cli.completion import subscription_names
from activityctl.cli.options import Labels, RunOption, Since, Until, output_option
from activityctl.cli.render.log_text import LogLines
from activityctl.cli.render.output import check_format, print_json
from activityctl.cli.session import Session, now
from activityctl.cli.streams import output_has_failed, raise_if_reader_has_gone
from activityctl.cli.verbs.choose import verbs_of
from activityctl.cli.verbs.verbs import LogRequest, Watcher
from activityctl.domain.values.json_form import list_view
from activityctl.domain.values.log import LEVELS, Level, LogEntry, LogFilter
from activityctl.domain.values.selection import parse_labels
from activityctl.domain.values.time_range import parse_time_range
from activityctl.domain.values.untrusted import escape_line
from activityctl.errors import UnreachableError, UsageError
from activityctl.frozen_dataclass import frozen_dataclass
from activityctl.operations.runs.log_selection import LogOwners, LogSelection
from activityctl.wiring import Ports


@frozen_dataclass
class _Wanted:
    """Whose log a person asked for."""

    references: list[str]
    labels: list[str]
    all_subscriptions: bool
    run: str | None

    def check(self) -> None:
        """Raise UsageError unless it is one of: names, a label, all."""
        ways = [bool(self.references), bool(self.labels), self.all_subscriptions]
        if sum(ways) > 1:
            raise UsageError("SUB|RUN, -l and --all cannot be combined", hint="give one of them")
        if self.run is not None and not self.references:
            raise UsageError("--run needs a subscription", hint=f"activityctl logs run/{self.run}")
        if not any(ways):
            raise UsageError(
                "no subscription and no run is named",
                hint="activityctl logs SUB, logs RUN, logs -l team=db or logs --all",
            )

    async def owners(self, ports: Ports) -> LogOwners:
        """Return the subscriptions and the run."""
        selection = LogSelection(ports.catalog, ports.run_lists)
        if self.references:
            return await selection.named(self.references, self.run)
        return await selection.labelled(parse_labels(self.labels))


def logs(
    context: typer.Context,
    references: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SUB|RUN]",
            help="Subscriptions or one run: names, ids or the first characters of ids.",
            autocompletion=subscription_names,
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Also print new entries, until Ctrl-C.")
    ] = False,
    labels: Labels = [],  # noqa: B006  # never changed
    all_subscriptions: Annotated[
        bool, typer.Option("--all", help="The log of all subscriptions.")
    ] = False,
    run: RunOption = None,
    level: Annotated[
        str,
        typer.Option(
            help="Only entries of this level and of more serious ones: debug, info, warning or "
            "error.",
            metavar="LEVEL",
        ),
    ] = "debug",
    grep: Annotated[
        str | None,
        typer.Option(
            help="Only entries whose message has this regular expression; it has no back "
            "references.",
            metavar="PATTERN",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help="Only entries of this task, or of one of its items: notify, notify[2].",
            metavar="NAME",
        ),
    ] = None,
    since: Since = None,
    until: Until = None,
    tail: Annotated[
        int | None, typer.Option(min=0, help="Print only the last COUNT entries.", metavar="COUNT")
    ] = None,
    output: Annotated[str, output_option("text", "json", "jsonl")] = "text",
) -> None:
    """Print the log of subscriptions or of one run, the oldest entry first.

    The time range selects entries by the time at which they were written.

    activityctl logs disk-report --follow --tail 20

    activityctl logs 3f2a --task charge --level warning

    activityctl logs -l team=db --since 2h --grep "timed? ?out" -o jsonl
    """
    session: Session = context.obj
    shape = check_format(output, ("text", "json", "jsonl"))
    if follow and shape == "json":
        raise UsageError("--follow cannot be combined with -o json", hint="use -o jsonl")
    if follow and until is not None:
        raise UsageError("--follow cannot be combined with --until")
    asked = _Wanted(references or [], labels, all_subscriptions, run)
    asked.check()
    first, last = parse_time_range(since, until, now())
    least, pattern = _level(level), _pattern(grep)

    async def read(ports: Ports) -> None:
        owners = await asked.owners(ports)
        wanted = LogFilter(
            tuple(owners.names), owners.run_id, least, pattern, task, since=first, until=last
        )
        names = dict(owners.names)
        lines = LogLines(names, shape)
        verbs = verbs_of(session, ports)
        chosen = None if asked.references else parse_labels(labels)
        request = LogRequest(wanted, names, chosen, tail)
        if follow:
            watcher = Watcher(lambda error: _tell_outage(session, error), _reader_has_gone)
            await _print_each(session, verbs.follow_logs(request, watcher), lines)
            return
        entries = verbs.read_logs(request)
        if shape == "json":
            print_json(session.out, list_view([lines.view(entry) async for entry in entries]))
        else:
            what = "reading the log" if pattern is None else f"searching the log for {pattern}"
            await _print_each(session, entries, lines, waits_for=what)

    session.with_ports(read)


async def _print_each(
    session: Session,
    entries: AsyncIterator[LogEntry],
    lines: LogLines,
    waits_for: str | None = None,
) -> None:
    """Print the entries as they come, until nothing can be written any more.

    On a terminal, tell what the first one waits for.
    """
    if waits_for is not None:
        with session.status(escape_line(waits_for)):
            first = await anext(entries, None)
        if first is None:
            return
        lines.print(session.out, first)
    async for entry in entries:
        lines.print(session.out, entry)
        if output_has_failed():
            return


def _reader_has_gone() -> bool:
    """Return False; end the command quietly if nobody reads its output any more."""
    raise_if_reader_has_gone()
    return False


def _tell_outage(session: Session, error: UnreachableError | None) -> None:
    if error is None:
        who = "Postgres" if session.settings.server is None else session.settings.server
        session.err.print(f"{who} answers again; the log goes on after its last line")
    else:
        session.err.print(f"{error.message}; waiting until it answers again (Ctrl-C ends this)")


def _level(text: str) -> Level:
    found = next((level for level in LEVELS if level == text.lower()), None)
    if found is None:
        raise UsageError(f"unknown level {text!r}", hint="use " + ", ".join(LEVELS))
    return found


def _pattern(text: str | None) -> str | None:
    """Return the regular expression; UsageError if it is none."""
    if text is not None:
        try:
            re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            raise UsageError(f"--grep: not a regular expression: {error}") from error
    return text
