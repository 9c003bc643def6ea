"""Options and arguments that several commands share, and the functions that parse their values."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from activityctl.cli.completion import kinds, subscription_names
from activityctl.cli.references import run_reference, subscription_reference
from activityctl.cli.session import Session
from activityctl.domain.values.time_range import is_duration, parse_moment
from activityctl.errors import UsageError
from activityctl.operations.looking.kinds import kind_and_name, manifest_kind_of

if TYPE_CHECKING:
    from activityctl.domain.gitops.plan import Kind


def output_option(
    *formats: str, note: str = "", noted: Sequence[str] = (), prefix: str | None = None
) -> Any:
    """Declare `--output` of a command that has these formats; any other is a UsageError.

    The note follows them in the help; it says when the `noted` formats can be used. A value that
    begins with the prefix is left to the command.
    """
    listed = " or ".join(filter(None, [", ".join(formats[:-1]), formats[-1]]))

    def check(value: str) -> str:
        from activityctl.cli.render.output import check_format

        if prefix is not None and value.startswith(prefix):
            return value
        return str(check_format(value, (*formats, *noted)))

    return typer.Option(
        "--output",
        "-o",
        help=f"Output format: {listed}{note}.",
        metavar="FORMAT",
        callback=check,
    )


TextOrJson = Annotated[str, output_option("text", "json")]


Files = Annotated[
    list[str],
    typer.Option(
        "--filename",
        "-f",
        help="Manifests: a file, a folder, a quoted glob, or - for standard input.",
        metavar="PATH",
    ),
]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-R", help="Also read the subfolders of the folders.")
]
ApplySet = Annotated[
    str | None,
    typer.Option("--applyset", help="Name of the set that the files make up.", metavar="NAME"),
]
Prune = Annotated[
    bool, typer.Option("--prune", help="Delete the objects of the set that are not in the files.")
]
TakeOver = Annotated[
    bool,
    typer.Option("--take-over", help="Move objects of other sets to the set of --applyset."),
]
AllowEmpty = Annotated[
    bool,
    typer.Option(
        "--allow-empty", help="With --prune: files without manifests delete the whole set."
    ),
]
Sync = Annotated[
    Path | None,
    typer.Option(
        help="Apply this folder and its subfolders now and after each change; prune nothing.",
        metavar="FOLDER",
    ),
]
LogFormat = Annotated[
    str | None,
    typer.Option(
        help="How the log is written: text, or json with one object a line.", metavar="FORMAT"
    ),
]


def log_format_of(session: Session, given: str | None) -> str:
    """Return the format of the log: the given one, or that of the settings."""
    from activityctl.settings import LOG_FORMATS

    if given is not None and given not in LOG_FORMATS:
        raise UsageError(f"unknown log format {given!r}", hint=f"use {' or '.join(LOG_FORMATS)}")
    return given or session.settings.log_format


ListedKind = Annotated[
    str,
    typer.Argument(
        metavar="KIND",
        help="definitions, subscriptions, calendars, sources, revisions, schedules, runs, tasks, "
        "deadletters, events, workers, breakers, limits, sets, audit, chains or relayers; or a "
        "short form: def, sub, cal, src, rev, sched, run, task, dl, ev.",
        autocompletion=kinds,
    ),
]
CatalogKind = Annotated[
    str,
    typer.Argument(
        metavar="KIND",
        help="definition, subscription, calendar or source; or a short form: def, sub, cal, src.",
        autocompletion=kinds,
    ),
]
ObjectName = Annotated[
    str | None,
    typer.Argument(metavar="NAME", help="The object's name; not needed after KIND/NAME."),
]
SubscriptionArgument = Annotated[
    str,
    typer.Argument(
        metavar="SUB",
        help="The subscription's name, its id or the first characters of the id.",
        autocompletion=subscription_names,
        callback=subscription_reference,
    ),
]
SubscriptionOption = Annotated[
    str | None,
    typer.Option(
        "--subscription",
        "-s",
        help="Only this subscription: its name, its id or the first characters of the id.",
        metavar="SUB",
        autocompletion=subscription_names,
        callback=subscription_reference,
    ),
]
RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="The run's id or the first characters of the id.",
        callback=run_reference,
    ),
]
RunOption = Annotated[
    str | None,
    typer.Option(
        "--run",
        help="Only this run: its id or the first characters of the id.",
        metavar="RUN",
        callback=run_reference,
    ),
]
TriggerOption = Annotated[
    str | None, typer.Option("--trigger", help="Only the trigger of this name.", metavar="NAME")
]
EventTypes = Annotated[
    list[str],
    typer.Option(
        "--type", help="Only events of this type; * stands for any characters.", metavar="TYPE"
    ),
]
EventSources = Annotated[
    list[str],
    typer.Option(
        "--source",
        help="Only events from this source; * stands for any characters.",
        metavar="SOURCE",
    ),
]
Labels = Annotated[
    list[str], typer.Option("-l", help="Only objects with this label.", metavar="KEY=VALUE")
]


Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Show what would run, what would not, and why; change nothing."),
]
Timeout = Annotated[
    str, typer.Option(help="The longest time to wait, such as 30s or 5m.", metavar="DURATION")
]
WAIT_FOR_RUNS: Final = "Wait for the run or runs to end."
WaitForRuns = Annotated[bool, typer.Option("--wait/--no-wait", help=WAIT_FOR_RUNS)]
WaitForSchedules = Annotated[
    bool | None,
    typer.Option(
        "--wait/--no-wait",
        help="Wait for Temporal's schedules to be updated; exit 8 if they are not updated in time. "
        "Without this option: wait if a worker is alive; a delay is reported and is no error.",
        show_default=False,
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        help="Start of the time range: 2h for two hours ago, +2h for in two hours, now, a date "
        "(midnight in UTC) or a time such as 2026-12-31T18:00:00Z.",
        metavar="WHEN",
    ),
]
Until = Annotated[
    str | None,
    typer.Option("--until", help="End of the time range, written as for --since.", metavar="WHEN"),
]
OldFrom = Annotated[str | None, typer.Option("--from", hidden=True)]
OldTo = Annotated[str | None, typer.Option("--to", hidden=True)]


def is_catalog_kind(word: str) -> bool:
    """Tell whether the word is a kind that manifests have."""
    try:
        catalog_kind(word)
    except UsageError:
        return False
    return True


def catalog_object(word: str, name: str | None) -> tuple["Kind", str]:
    """Return the kind of manifest and the name in `KIND NAME` or `KIND/NAME`.

    UsageError for any other kind, and if there is no name.
    """
    found, name = kind_and_name(word, name)
    return catalog_kind(found), required_name(name)


def required_name(name: str | None) -> str:
    """Return the name; UsageError if there is none."""
    if name is None:
        raise UsageError("argument NAME is missing")
    return name


def catalog_kind(word: str) -> "Kind":
    """Return the kind of manifest that the word means; UsageError for any other kind."""
    return manifest_kind_of(word)


def default_files(paths: Sequence[str]) -> list[str]:
    """Return the given paths; without any, the folder `definitions` if it exists."""
    if paths:
        return list(paths)
    if Path("definitions").is_dir():
        return ["definitions"]
    raise UsageError("no manifests given", hint="name files or folders with -f")


def replace_old_option(
    session: Session,
    option: str,
    text: str | None,
    old_option: str,
    old_text: str | None,
) -> str | None:
    """Return the value of the option; a value of its old name is translated, with a warning.

    With the old name, `2h` meant in two hours and `-2h` two hours ago. UsageError if both names
    are given, or if the value means no moment.
    """
    if old_text is None:
        return text
    if text is not None:
        raise UsageError(f"{old_option} is the old name of {option}", hint=f"give only {option}")
    new_text = f"+{old_text}" if is_duration(old_text) else old_text
    if old_text.startswith("-") and is_duration(old_text[1:]):
        new_text = old_text[1:]
    parse_moment(new_text, datetime.now(UTC))
    session.err.print(f"warning: {old_option} is now {option}; write {option} {new_text}")
    return new_text
