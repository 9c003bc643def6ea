"""The reference pages of the guide, generated from the command line and the JSON Schemas."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperArgument, TyperGroup, TyperOption

from activityctl import wiring
from activityctl.adapters.postgres.rights import FUNCTIONS, TABLES, Role
from activityctl.cli.main import COMMANDS, load_command
from activityctl.cli.render.help_page import (
    GroupWithDefault,
    argument_name,
    meaning_of,
    option_name,
    parts_of_help,
)
from activityctl.domain.events.envelope_schema import ENVELOPE_SCHEMA
from activityctl.domain.manifests.explain import Explanation, explain_field
from activityctl.domain.manifests.schema import DOCUMENT_KINDS, Schema, document_schema
from activityctl.errors import NotFoundError

GUIDE = Path(__file__).parents[2] / "activityctl" / "guide"
DEEPEST = 6
"""Fields below `definition.spec.triggers.batch.events` repeat those above."""


def generated() -> dict[Path, str]:
    """Return the text of each generated page."""
    return {
        GUIDE / "fields.md": fields_page(),
        GUIDE / "commands.md": commands_page(),
        GUIDE / "database-roles.md": roles_page(),
    }


def fields_page() -> str:
    schema = document_schema(wiring.known_kinds())
    lines = [
        "# Fields",
        "",
        "This page lists every field of a manifest and of an event. In the terminal,",
        "`activityctl explain definition.spec.triggers.cron` shows the same texts with examples.",
        "",
        "An asterisk marks a field that is required. A field marked `${ }` takes an",
        "[expression](expressions.md) inside its text. A `text` may also be a number or a boolean,",
        "which is taken [as JSON writes it](write-an-automation.md#texts-and-numbers).",
    ]
    for kind in DOCUMENT_KINDS:
        lines += ["", f"## {kind}", ""]
        lines += _sections(schema, kind, kind)
    lines += ["", "## EventEnvelope", "", ENVELOPE_SCHEMA["description"], ""]
    lines += ["| field | type | meaning |", "|---|---|---|"]
    required = ENVELOPE_SCHEMA["required"]
    for name, child in ENVELOPE_SCHEMA["properties"].items():
        mark = "*" if name in required else ""
        lines.append(f"| `{name}`{mark} | {_event_type(child)} | {_cell(child['description'])} |")
    (other,) = ENVELOPE_SCHEMA["patternProperties"].values()
    lines.append(f"| any name of a-z and 0-9 | see right | {_cell(other['description'])} |")
    return "\n".join(lines) + "\n"


def _sections(schema: Schema, path: str, kind: str) -> Iterator[str]:
    found = explain_field(schema, path)
    if path != kind:
        yield from ("", f"### `{path.removeprefix(f'{kind}.')}`", "")
    yield _plain(found.description)
    if found.one_of:
        yield ""
        yield "Exactly one of " + ", ".join(f"`{name}`" for name in found.one_of) + "."
    yield from ("", "| field | type | default | meaning |", "|---|---|---|---|")
    below = []
    for line in found.fields:
        child = explain_field(schema, f"{path}.{line.name}")
        yield _row(line.name, child)
        if child.fields and path.count(".") < DEEPEST and not _repeats(path, line.name):
            below.append(line.name)
    for name in below:
        yield from _sections(schema, f"{path}.{name}", kind)


def _repeats(path: str, name: str) -> bool:
    """Whether the fields below are those of a place above, such as the tasks of onFailure."""
    is_in_task = path.startswith("ActivityDefinition.spec.tasks")
    if is_in_task and name in {"tasks", "undo", "default"}:
        return True
    return name in {"onFailure", "onSuccess", "onSkip", "onMissed", "onRecovered"} or (
        path.endswith(".triggers") and path.startswith("Subscription")
    )


def _row(name: str, found: Explanation) -> str:
    mark = "*" if found.is_required else ""
    kind = found.type + (", `${ }`" if found.takes_templates else "")
    default = "" if found.default is None else f"`{json.dumps(found.default, ensure_ascii=False)}`"
    allowed = ", ".join(f"`{value}`" for value in found.allowed)
    text = found.description + (f" One of {allowed}." if allowed else "")
    return f"| `{name}`{mark} | {_cell(kind)} | {_cell(default)} | {_cell(text)} |"


def _event_type(child: dict[str, Any]) -> str:
    kind = child.get("type", f'"{child["const"]}"' if "const" in child else "any JSON value")
    return kind if isinstance(kind, str) else kind[0]


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")


def _plain(text: str) -> str:
    return " ".join(text.split())


def commands_page() -> str:
    lines = [
        "# Commands",
        "",
        "This page lists every command with its options, as `--help` shows them.",
        "",
        "Every command takes, before its name: `--profile NAME` (a profile of the config file),",
        "`--home FOLDER` (the local daemon's folder), `--server URL`",
        "([Commands over HTTP](remote-commands.md)) and `--color auto|always|never`.",
    ]
    panels: dict[str, list[str]] = {}
    for name, (_, panel, _) in COMMANDS.items():
        panels.setdefault(panel, []).append(name)
    for panel, names in panels.items():
        lines += ["", f"## {panel}", "", "| command | what it does |", "|---|---|"]
        lines += [f"| [`{name}`](#{name}) | {_cell(COMMANDS[name][2])} |" for name in names]
    for names in panels.values():
        for name in names:
            lines += _command(load_command(name), f"activityctl {name}", "##")
    return "\n".join(lines) + "\n"


def _command(command: Any, path: str, level: str) -> Iterator[str]:
    context = typer.Context(command, info_name=path)
    prose, examples = parts_of_help(command.help or "")
    yield from ("", f"{level} {path.removeprefix('activityctl ')}", "")
    yield "\n\n".join(prose)
    if examples:
        yield from ("", "```sh", *(example.replace("\u00a0", " ") for example in examples), "```")
    params = [param for param in command.get_params(context) if not getattr(param, "hidden", False)]
    rows = [
        (argument_name(param), meaning_of(param, context))
        for param in params
        if isinstance(param, TyperArgument)
    ]
    rows += [
        (option_name(param).strip(), meaning_of(param, context))
        for param in params
        if isinstance(param, TyperOption) and param.name != "help"
    ]
    if rows:
        yield from ("", "| argument or option | meaning |", "|---|---|")
        yield from (f"| `{_cell(name)}` | {_cell(text)} |" for name, text in rows)
    if isinstance(command, TyperGroup):
        for name, child in command.commands.items():
            yield from _command(child, f"{path} {name}", "###")


def parses(words: list[str]) -> str | None:
    """Return why the command line would refuse these words; None when it would take them."""
    rest = list(words)
    while rest and rest[0].startswith("-"):
        rest = rest[1:] if "=" in rest[0] else rest[2:]
    if not rest:
        return None
    name, *rest = rest
    if name not in COMMANDS:
        return f"no command {name}"
    try:
        command = load_command(name)
        while isinstance(command, TyperGroup) and rest and not rest[0].startswith("-"):
            if isinstance(command, GroupWithDefault):
                rest = command.with_command(rest)
            command, rest = command.commands[rest[0]], rest[1:]
        command.make_context(f"activityctl {name}", rest, resilient_parsing=False)
    except (typer.TyperException, NotFoundError, KeyError) as error:
        return f"{type(error).__name__}: {error}"
    except typer.Exit:
        return None
    return None


def rights_table() -> str:
    """Return the rows of the table of rights in the page about the roles of the database."""
    return "".join(
        f"| `{name.partition('(')[0]}` | "
        + " | ".join(rights[role] or "-" for role in Role)
        + " |\n"
        for name, rights in {**TABLES, **FUNCTIONS}.items()
    )


def roles_page() -> str:
    """Return the page about roles with a fresh table of rights; the rest is written by hand."""
    text = (GUIDE / "database-roles.md").read_text("utf-8")
    head = "|---|---|---|---|---|---|\n"
    return text[: text.rindex(head) + len(head)] + rights_table()
