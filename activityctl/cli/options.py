"""Options and arguments that several commands share, and the functions that parse their values."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from activityctl.cli.completion import kinds, subscription_names
from activityctl.domain.gitops.plan import Kind
from activityctl.errors import UsageError
from activityctl.operations.looking.get import kind_of


def output_option(*formats: str, note: str = "") -> Any:
    """Declare `--output` of a command that has these formats; the note follows them in the help."""
    listed = " or ".join(filter(None, [", ".join(formats[:-1]), formats[-1]]))
    return typer.Option("--output", "-o", help=f"Output format: {listed}{note}.", metavar="FORMAT")


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
Sync = Annotated[
    Path | None,
    typer.Option(
        help="Apply this folder and its subfolders now and after each change; prune nothing.",
        metavar="FOLDER",
    ),
]


ListedKind = Annotated[
    str,
    typer.Argument(
        metavar="KIND",
        help="definitions, subscriptions, calendars, revisions, schedules, runs, tasks, "
        "deadletters or events; or a short form: def, sub, cal, rev, sched, run, task, dl, ev.",
        autocompletion=kinds,
    ),
]
CatalogKind = Annotated[
    str,
    typer.Argument(
        metavar="KIND",
        help="definition, subscription or calendar; or a short form: def, sub, cal.",
        autocompletion=kinds,
    ),
]
ObjectName = Annotated[str, typer.Argument(metavar="NAME", help="The object's name.")]
SubscriptionArgument = Annotated[
    str,
    typer.Argument(
        metavar="SUB",
        help="The subscription's name, its id or the first characters of the id.",
        autocompletion=subscription_names,
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
    ),
]
RunArgument = Annotated[
    str,
    typer.Argument(metavar="RUN", help="The run's id or the first characters of the id."),
]
RunOption = Annotated[
    str | None,
    typer.Option(
        "--run", help="Only this run: its id or the first characters of the id.", metavar="RUN"
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
    typer.Option(help="Only what is younger: 10m, 2h, 1d or a time (RFC 3339).", metavar="WHEN"),
]

_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_seconds(text: str) -> float:
    """Return the seconds of a duration such as `30s`, `5m` or `1h30m`.

    UsageError for any other text.
    """
    parts = _SPAN.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(f"not a duration: {text!r}", hint="write 30s, 5m, 2h or 1d")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def parse_labels(pairs: Sequence[str]) -> dict[str, str]:
    """Return the labels of `-l key=value[,key=value]`."""
    labels: dict[str, str] = {}
    for pair in (part for text in pairs for part in text.split(",")):
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"not a label: {pair!r}", hint="write -l key=value")
        labels[key] = value
    return labels


def is_catalog_kind(word: str) -> bool:
    """Tell whether the word is a kind that manifests have."""
    try:
        catalog_kind(word)
    except UsageError:
        return False
    return True


def catalog_kind(word: str) -> Kind:
    """Return the kind of manifest that the word means; UsageError for any other kind."""
    match kind_of(word):
        case "calendars":
            return "Calendar"
        case "definitions":
            return "ActivityDefinition"
        case "subscriptions":
            return "Subscription"
        case other:
            raise UsageError(
                f"{other} have no manifest", hint="use definition, subscription or calendar"
            )


def default_files(paths: Sequence[str]) -> list[str]:
    """Return the given paths; without any, the folder `definitions` if it exists."""
    if paths:
        return list(paths)
    if Path("definitions").is_dir():
        return ["definitions"]
    raise UsageError("no manifests given", hint="name files or folders with -f")


def parse_since(text: str | None, now: datetime) -> datetime | None:
    """Return the moment that a span before now, or an RFC 3339 time, means."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return now - timedelta(seconds=parse_seconds(text))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def parse_time(text: str, now: datetime) -> datetime:
    """Return the point that `now`, `2h` (from now), `-1d` (ago) or RFC 3339 text names.

    UsageError says how to write it; a time without an offset from UTC names none.
    """
    if text == "now":
        return now
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _moved(text, now)
    if moment.tzinfo is None:
        raise UsageError(
            f"{text} has no offset from UTC", hint="write 2026-12-31T18:00:00Z, or with +01:00"
        )
    return moment


def _moved(text: str, now: datetime) -> datetime:
    try:
        seconds = parse_seconds(text.removeprefix("-"))
        return now + timedelta(seconds=-seconds if text.startswith("-") else seconds)
    except (UsageError, OverflowError) as error:
        raise UsageError(
            f"not a point in time: {text!r}",
            hint="write 2026-12-31T18:00:00Z, 2h for in two hours, -1d for a day ago",
        ) from error
