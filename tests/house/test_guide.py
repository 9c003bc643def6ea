"""The guide is true: its links, its commands, its manifests and its generated pages.

Run as a program, it renews the generated pages: python tests/house/test_guide.py
"""

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from activityctl import wiring  # noqa: E402
from activityctl.cli.guide_pages import contents, read_pages  # noqa: E402
from activityctl.operations.gitops.load import check_files  # noqa: E402
from support.guide import GUIDE, generated, parses  # noqa: E402

README = ROOT / "README.md"
TEXTS = [README, ROOT / "tests" / "benchmarks" / "README.md", *sorted(GUIDE.glob("*.md"))]
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
REST = {
    "params": "{type: object, additionalProperties: true}",
    "triggers": "[{name: came, event: {type: sample.came}}]",
    "tasks": "[{name: tell, command: {argv: [echo, came]}}]",
}
LONGEST_README = 270  # it has a row for each task kind and policy; pages are in the contents


def blocks(path: Path, language: str) -> Iterator[str]:
    for found in BLOCK.finditer(path.read_text("utf-8")):
        if found[1] == language:
            yield found[2]


def anchors(path: Path) -> set[str]:
    text = BLOCK.sub("", path.read_text("utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    return set(plain)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_links_lead_somewhere(path: Path):
    broken = []
    for target in LINK.findall(BLOCK.sub("", path.read_text("utf-8"))):
        if target.startswith(("http:", "https:")):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name) if name else path
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert not broken


def commands_in(path: Path) -> Iterator[list[str]]:
    """Yield the words of each `activityctl ...` in a shell block; pipes and redirections end it."""
    for block in blocks(path, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars="();|&<")
            lexer.whitespace_split = True
            words: list[str] = []
            for word in [*(re.sub(r"^<(.+)>$", r"\1", word) for word in _lexed(lexer)), ";"]:
                if set(word) <= set("();|&") or word in {">", "2>", "<"}:
                    if words[:1] == ["activityctl"]:
                        yield words[1:]
                    words = []
                else:
                    words.append(word)


def _lexed(lexer: shlex.shlex) -> Iterator[str]:
    pending = ""
    for word in lexer:  # a placeholder such as <run-id> is one word
        if word == "<":
            pending = word
        elif pending:
            yield pending + word
            pending = ""
        else:
            yield word


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_commands_exist_with_their_options(path: Path):
    refused = {}
    for words in commands_in(path):
        if (why := parses(words)) is not None:
            refused[" ".join(words)] = why
    assert not refused


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_whole_manifests_are_valid(path: Path, tmp_path: Path):
    whole = [block for block in blocks(path, "yaml") if block.startswith("apiVersion:")]
    assert not problems_of(whole, tmp_path)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_parts_of_definitions_are_valid(path: Path, tmp_path: Path):
    """Each part is completed by the fields that it leaves out."""
    parts = [block for block in blocks(path, "yaml") if re.match("spec:\n(?!  ical:)", block)]
    completed = [
        "apiVersion: activityctl/v1\nkind: ActivityDefinition\nmetadata: {name: sample}\n"
        + part
        + "".join(
            f"  {name}: {value}\n" for name, value in REST.items() if f"\n  {name}:" not in part
        )
        for part in parts
    ]
    assert not problems_of(completed, tmp_path)


def problems_of(manifests: list[str], tmp_path: Path) -> list[str]:
    problems = []
    for number, block in enumerate(manifests):
        file = tmp_path / f"{number}.yaml"
        file.write_text(block, "utf-8")
        checked = check_files(
            wiring.manifest_source(), [str(file)], wiring.known_kinds(), recursive=False
        )
        problems += [str(problem) for problem in checked.problems]
    return problems


def test_every_page_has_a_title_and_says_what_it_is_for():
    for page in read_pages():
        assert page.title, page.topic
        assert page.text.startswith(f"# {page.title}\n\n"), page.topic
        assert page.summary.endswith("."), page.topic


def test_the_contents_name_every_page_once_and_the_readme_is_short():
    pages = read_pages()
    named = [entry.topic for entry in contents(pages)]
    assert sorted([*named, "contents"]) == [page.topic for page in pages]
    text = README.read_text("utf-8")
    assert "guide/contents.md" in text
    assert len(text.splitlines()) <= LONGEST_README


def test_generated_pages_are_fresh():
    stale = [path.name for path, text in generated().items() if path.read_text("utf-8") != text]
    assert not stale, "run: python tests/house/test_guide.py"


def test_every_command_has_help_with_an_example():
    from activityctl.cli.main import COMMANDS, load_command

    for name in COMMANDS:
        if name != "version":
            assert f"activityctl {name}" in (load_command(name).help or ""), name


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text, "utf-8")
