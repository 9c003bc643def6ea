"""Options that several commands share, and how their texts are read."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer

from activityctl.domain.gitops.plan import Kind
from activityctl.errors import UsageError
from activityctl.operations.looking.get import kind_of

Output = Annotated[
    str,
    typer.Option("--output", "-o", help="text, wide, json, jsonl, yaml or name.", metavar="FORMAT"),
]
Files = Annotated[
    list[str],
    typer.Option(
        "--filename", "-f", help="A file, folder, quoted glob, or - for stdin.", metavar="PATH"
    ),
]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-R", help="Go into subfolders of the folders given.")
]
ApplySet = Annotated[
    str | None,
    typer.Option("--applyset", help="The named set these files are, for pruning.", metavar="NAME"),
]
Prune = Annotated[
    bool, typer.Option("--prune", help="Delete members of the set that the files lack.")
]
Sync = Annotated[
    Path | None,
    typer.Option(
        help="Keep this folder and those below it applied as they change; nothing is pruned.",
        metavar="FOLDER",
    ),
]
Since = Annotated[
    str | None,
    typer.Option(help="Only what is younger: 10m, 2h, 1d or a time (RFC 3339).", metavar="WHEN"),
]
Timeout = Annotated[str, typer.Option(help="How long to wait: 30s, 5m.", metavar="DURATION")]

_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_seconds(text: str) -> float:
    """Return the seconds that `30s`, `5m`, `1h30m` mean; UsageError for anything else."""
    parts = _SPAN.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UsageError(f"not a duration: {text!r}", hint="write 30s, 5m, 2h or 1d")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def parse_since(text: str | None, now: datetime) -> datetime | None:
    """Return the moment that a span before now, or an RFC 3339 time, means."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return now - timedelta(seconds=parse_seconds(text))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def parse_labels(pairs: Sequence[str]) -> dict[str, str]:
    """Return the labels that `-l key=value[,key=value]` ask for."""
    found: dict[str, str] = {}
    for pair in (part for given in pairs for part in given.split(",")):
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"not a label: {pair!r}", hint="write -l key=value")
        found[key] = value
    return found


def is_catalog_kind(word: str) -> bool:
    """Tell whether the word means a kind of the catalog."""
    try:
        catalog_kind(word)
    except UsageError:
        return False
    return True


def catalog_kind(word: str) -> Kind:
    """Return the kind of the catalog that the word means; UsageError for another."""
    match kind_of(word):
        case "calendars":
            return "Calendar"
        case "definitions":
            return "ActivityDefinition"
        case "subscriptions":
            return "Subscription"
        case other:
            raise UsageError(
                f"{other} come from no manifest", hint="use definition, subscription or calendar"
            )


def default_files(paths: Sequence[str]) -> list[str]:
    """Return the paths given; without any, `definitions/` where there is one."""
    if paths:
        return list(paths)
    if Path("definitions").is_dir():
        return ["definitions"]
    raise UsageError("no manifests named", hint="name files or folders with -f")


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


Wait = Annotated[
    bool | None,
    typer.Option(
        "--wait/--no-wait",
        help="Wait for Temporal's schedules to be as wanted; exit 8 when they are not in time. "
        "Without either a live worker is waited for, and what is late is only said.",
        show_default=False,
    ),
]
