"""Output formats: the help of a command lists those that it takes, and others are refused."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from activityctl.cli.main import COMMANDS, load_command
from activityctl.errors import UsageError


def with_formats() -> Iterator[tuple[str, Any]]:
    """Yield each command that has --output, with the option."""
    for name in COMMANDS:
        command = load_command(name)
        commands = command.commands if isinstance(command, TyperGroup) else {name: command}
        for child, found in commands.items():
            for option in found.params:
                if option.name == "output" and name != "complete":  # there it is an output
                    yield f"{name} {child}", option


@pytest.mark.parametrize(("name", "option"), list(with_formats()))
def test_the_help_lists_the_formats_that_are_taken_and_no_other(name: str, option: Any):
    context = typer.Context(load_command(name.split(maxsplit=1)[0]))
    with pytest.raises(UsageError, match="unknown output format 'xml'") as caught:
        option.process_value(context, "xml")
    allowed = (caught.value.hint or "").removeprefix("use ").split(", ")
    for text in allowed:
        assert option.process_value(context, text) == text
    known = {"text", "wide", "json", "jsonl", "yaml", "name", "markdown", "html", "svg"}
    assert known & set(re.findall(r"\w+", option.help)) == set(allowed)
