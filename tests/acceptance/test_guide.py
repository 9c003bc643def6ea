"""`activityctl guide` and `activityctl schema event`, without any server."""

import json
import subprocess

import pytest

from support.terminal import in_terminal


def test_it_lists_its_pages(stranger):
    shown = stranger("guide").stdout.splitlines()
    assert shown[0] == "Start"
    (row,) = [line for line in shown if line.split()[0] == "time-zones"]
    assert row.endswith("  zones and daylight saving")
    items = stranger.json("guide")["items"]
    assert {"topic", "title", "summary"} == items[0].keys()


def test_a_page_is_markdown_where_nobody_watches(stranger):
    text = stranger("guide", "time-z").stdout
    assert text.startswith("# Time zones\n")
    assert stranger.json("guide", "time-zones")["text"] == text


def test_a_page_is_drawn_on_a_terminal(stranger):
    shown = in_terminal(stranger.command("guide", "schedules", "--no-pager"), stranger.environment)
    assert "Schedules" in shown
    assert "```" not in shown
    assert "(activityctl guide " in " ".join(shown.split())  # a link to another page


def test_a_search_shows_lines_with_their_page(stranger):
    shown = stranger("guide", "--search", "misfire window").stdout
    assert "misfires: " in shown
    assert stranger.json("guide", "--search", "misfire window")["items"][0]["topic"]
    assert "not found" in stranger("guide", "--search", "xyzzy", code=4).stderr


@pytest.mark.parametrize(
    ("arguments", "code"), [(("misfirs",), 4), (("misfires", "--search", "x"), 2)]
)
def test_what_cannot_be_shown_is_an_error_with_a_hint(stranger, arguments, code):
    assert "hint: " in stranger("guide", *arguments, code=code).stderr


def test_the_schema_of_an_event_checks_events(stranger):
    schema = json.loads(stranger("schema", "event").stdout)
    assert schema["required"] == ["specversion", "id", "source", "type"]


def test_a_reader_that_goes_away_is_no_error(stranger):
    shell = " ".join(stranger.command("guide", "commands")) + " | head -n 1"
    done = subprocess.run(
        shell, shell=True, env=stranger.environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("# Commands\n", "")
