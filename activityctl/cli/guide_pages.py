"""The pages of the guide: read from the package, found by topic and searched by word."""

import difflib
import re
from collections.abc import Iterator, Sequence
from importlib.resources import files

from activityctl.errors import NotFoundError
from activityctl.frozen_dataclass import frozen_dataclass

_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
_CONTENTS = "contents"
_ROW = re.compile(r"\| \[[^\]]+\]\((?P<topic>[a-z0-9-]+)\.md\) \| (?P<purpose>.+) \|")
_PAGE_LINK = re.compile(r"(?P<topic>[a-z0-9-]+)\.md(?:#.*)?")


@frozen_dataclass
class Page:
    """One page; its file starts with `# Title` and a sentence that says what it is for."""

    topic: str
    title: str
    summary: str
    text: str
    """Markdown, as it lies in the package."""


@frozen_dataclass
class Hit:
    """A line of a page in which a search found a word."""

    topic: str
    heading: str
    """The nearest heading above the line."""
    line: str


@frozen_dataclass
class Entry:
    """A row of the contents: a page and what it is for."""

    subject: str
    topic: str
    purpose: str


def read_pages() -> list[Page]:
    """Return every page, by topic."""
    folder = files("activityctl") / "guide"
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".md")]
    return sorted(
        (_page(entry.name.removesuffix(".md"), entry.read_text("utf-8")) for entry in found),
        key=lambda page: page.topic,
    )


def contents(pages: Sequence[Page]) -> list[Entry]:
    """Return the rows of the page `contents`, in its order: every other page once, by subject."""
    subject, entries = "", []
    for line in next(page for page in pages if page.topic == _CONTENTS).text.splitlines():
        if line.startswith("## "):
            subject = line.removeprefix("## ")
        elif row := _ROW.fullmatch(line):
            entries.append(Entry(subject, row["topic"], row["purpose"]))
    return entries


def find_page(pages: Sequence[Page], topic: str) -> Page:
    """Return the page of that topic or unique prefix of one; NotFoundError names the nearest."""
    wanted = topic.lower().replace(" ", "-").removesuffix(".md")
    exact = [page for page in pages if page.topic == wanted]
    matching = exact or [page for page in pages if page.topic.startswith(wanted)]
    if len(matching) == 1:
        return matching[0]
    names = [page.topic for page in matching or pages]
    near = [page.topic for page in matching] or difflib.get_close_matches(wanted, names, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"activityctl guide --search {topic}"
    raise NotFoundError("guide page", topic, hint=hint)


def search_pages(pages: Sequence[Page], text: str) -> list[Hit]:
    """Return the lines that have every word of the text, whatever their case."""
    words = text.lower().split()
    return [
        Hit(page.topic, heading, line)
        for page in pages
        for heading, line in _lines(page)
        if all(word in line.lower() for word in words)
    ]


def for_terminal(page: Page) -> str:
    """Return the page's Markdown with links to other pages written as commands."""
    return _LINK.sub(_link, page.text)


def _page(topic: str, text: str) -> Page:
    head, _, rest = text.partition("\n")
    summary = rest.strip().partition("\n\n")[0].replace("\n", " ")
    return Page(topic, head.removeprefix("# ").strip(), summary, text)


def _lines(page: Page) -> Iterator[tuple[str, str]]:
    heading, in_code = page.title, False
    for line in page.text.splitlines():
        in_code ^= line.startswith("```")
        if line.startswith("#") and not in_code:
            heading = line.lstrip("# ").strip()
        if line.strip() and not line.startswith("```"):
            yield heading, line.strip()


def _link(found: re.Match[str]) -> str:
    text, target = found[1], found[2]
    if page := _PAGE_LINK.fullmatch(target):
        return f"{text} (`activityctl guide {page['topic']}`)"
    return text if target.startswith(("#", ".")) else f"{text} ({target})"
