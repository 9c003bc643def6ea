"""The guide's pages are found by topic, searched by word and shown with commands for links."""

import pytest

from activityctl.cli.guide_pages import (
    Hit,
    Page,
    find_page,
    for_terminal,
    read_pages,
    search_pages,
)
from activityctl.errors import NotFoundError


def page(topic: str, text: str = "") -> Page:
    return Page(topic, topic.title(), f"About {topic}.", f"# {topic.title()}\n\n{text}\n")


PAGES = [page("events"), page("event-retention"), page("time-zones"), page("schedules")]


@pytest.mark.parametrize(
    ("topic", "found"),
    [
        ("events", "events"),
        ("time-zones", "time-zones"),
        ("time", "time-zones"),
        ("Time zones", "time-zones"),
        ("schedules.md", "schedules"),
    ],
)
def test_a_page_is_found_by_its_topic_or_a_unique_prefix(topic: str, found: str):
    assert find_page(PAGES, topic).topic == found


@pytest.mark.parametrize(
    ("topic", "hint"),
    [
        ("event", "did you mean events or event-retention?"),
        ("shedules", "did you mean schedules?"),
        ("kubernetes", "activityctl guide --search kubernetes"),
    ],
)
def test_an_unknown_topic_gets_the_nearest_as_a_hint(topic: str, hint: str):
    with pytest.raises(NotFoundError) as raised:
        find_page(PAGES, topic)
    assert raised.value.hint == hint


def test_a_search_finds_lines_with_every_word_below_their_heading():
    text = "The misfire window.\n\n## Windows\n\nA window opens.\nEach Misfire has a WINDOW.\n"
    pages = [page("misfires", text), page("events", "No such words.")]
    assert search_pages(pages, "misfire window") == [
        Hit("misfires", "Misfires", "The misfire window."),
        Hit("misfires", "Windows", "Each Misfire has a WINDOW."),
    ]
    assert search_pages(pages, "lambda") == []


def test_a_comment_in_a_code_block_is_no_heading():
    pages = [page("events", "```sh\n# a comment\nactivityctl emit\n```")]
    assert search_pages(pages, "emit") == [Hit("events", "Events", "activityctl emit")]


def test_links_become_commands_in_a_terminal():
    text = "See [events](events.md#filters), [below](#below), [the site](https://site.example)."
    assert for_terminal(page("x", text)).endswith(
        "See events (`activityctl guide events`), below, the site (https://site.example).\n"
    )


def test_the_pages_of_the_package_are_read_with_title_and_summary():
    pages = {found.topic: found for found in read_pages()}
    assert pages["time-zones"].title == "Time zones"
    assert pages["time-zones"].summary.startswith("This page ")
    assert {"getting-started", "fields", "commands", "glossary"} <= pages.keys()
