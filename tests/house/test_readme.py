"""The README's list of commands is what the command line has. Run as a program, it renews it."""

from pathlib import Path

from activityctl.cli.main import COMMANDS

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- commands -->", "<!-- /commands -->"


def listed() -> str:
    rows = [f"| `{name}` | {panel} | {line} |" for name, (_, panel, line) in COMMANDS.items()]
    return "\n".join(["| command | for | what it does |", "|---|---|---|", *rows])


def renewed(text: str) -> str:
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{listed()}\n{END}{after}"


def test_the_readme_lists_every_command():
    text = README.read_text("utf-8")
    assert renewed(text) == text, "run: python tests/house/test_readme.py"


def test_every_command_has_help_with_an_example():
    from activityctl.cli.main import load_command

    for name in COMMANDS:
        if name == "version":
            continue
        command = load_command(name)
        assert f"activityctl {name}" in (command.help or ""), name


if __name__ == "__main__":
    README.write_text(renewed(README.read_text("utf-8")), "utf-8")
