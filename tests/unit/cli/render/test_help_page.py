"""The pages of help: line breaks, examples as they are typed, flags without values."""

import re
from collections.abc import Iterator

import pytest
import typer

from activityctl.cli.main import COMMANDS, load_command
from activityctl.cli.render.help_page import help_page

STYLE = re.compile("\x1b\\[[0-9;]*m")


def pages(width: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    monkeypatch.setenv("COLUMNS", str(width))
    for name in COMMANDS:
        command = load_command(name)
        context = typer.Context(command, info_name=f"activityctl {name}")
        yield name, STYLE.sub("", help_page(command, context)).splitlines()


def page(name: str, width: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return dict(pages(width, monkeypatch))[name]


@pytest.mark.parametrize(("width", "widest"), [(80, 80), (120, 100)])
def test_no_line_but_an_example_is_too_wide_to_read(width, widest, monkeypatch):
    for name, lines in pages(width, monkeypatch):
        long = [line for line in lines if len(line) > widest and "activityctl" not in line]
        assert not long, name


def test_flags_have_no_value(monkeypatch):
    lines = page("emit", 80, monkeypatch)
    (strict,) = [line for line in lines if "--strict" in line]
    assert strict.split()[:2] == ["--strict", "Fill"]
    assert not [line for line in lines if "<" in line]
    (wait,) = [line for line in page("trigger", 80, monkeypatch) if "/ --no-wait" in line]
    assert wait.split()[:4] == ["--wait", "/", "--no-wait", "Wait"]


def test_an_option_with_a_value_names_the_value(monkeypatch):
    text = "\n".join(page("get", 80, monkeypatch))
    assert "  -o, --output FORMAT" in text
    assert "      --type TYPE " in text
    assert "Usage: activityctl get KIND [NAME] [OPTIONS]" in text


def test_usage_names_each_argument_once_and_what_a_group_does_without_a_command(monkeypatch):
    usages = {
        name: next(line for line in lines if line.startswith("Usage:"))
        for name, lines in pages(80, monkeypatch)
    }
    assert not [usage for usage in usages.values() if re.search(r"\]\.|\.{4}|\[\[", usage)]
    assert usages["cancel"] == "Usage: activityctl cancel [RUN...] [OPTIONS]"
    replay = page("replay", 80, monkeypatch)
    first = replay.index("Usage: activityctl replay [RUN...] [OPTIONS]")
    assert replay[first + 1] == "       activityctl replay COMMAND [OPTIONS]"


def test_a_sentence_is_broken_only_at_the_width_of_the_terminal(monkeypatch):
    narrow = "\n".join(page("emit", 80, monkeypatch))
    assert (
        "Exit 3 if an event is\ninvalid, 5 if it has the source and id of another event;" in narrow
    )
    for name in ("emit", "apply", "backfill"):
        prose = page(name, 80, monkeypatch)
        words = [line for line in prose[: prose.index("")] if line]
        assert all(len(line) > 50 for line in words[:-1])


def test_examples_are_listed_as_they_are_typed(monkeypatch):
    lines = page("emit", 80, monkeypatch)
    first = lines.index("Examples:") + 1
    assert lines[first : first + 3] == [
        "  activityctl emit orders.jsonl",
        "  tail -f orders.jsonl | activityctl emit - -o jsonl",
        "  activityctl emit --type order.paid --source /shop --data '{\"amount\": 12}' --wait",
    ]


def test_no_line_break_divides_defaults_and_bounds(monkeypatch):
    lines = page("backfill", 80, monkeypatch)
    assert [line for line in lines if "[default: 1; 1 to 1000]" in line]


def test_a_group_lists_its_commands(monkeypatch):
    lines = page("config", 80, monkeypatch)
    assert "Usage: activityctl config [OPTIONS] COMMAND" in lines
    listed = lines[lines.index("Commands:") + 1 :]
    assert [line.split()[0] for line in listed if line[2:3].strip()][:2] == ["show", "list"]
