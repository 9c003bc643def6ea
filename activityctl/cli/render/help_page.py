"""The help of a command as plain text: description, usage, examples, arguments, options."""

import re
import shutil
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from inspect import cleandoc
from typing import Any, Final, TypeVar

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

_WIDEST: Final = 100
"""Longer lines are hard to read, even in a wide terminal."""
_NARROWEST: Final = 50
_WIDEST_NAME: Final = 26
"""A longer name gets a line of its own."""
_INDENT: Final = "  "
_HARD_SPACE: Final = "\u00a0"

CommandFunction = TypeVar("CommandFunction", bound=Callable[..., Any])
Row = tuple[str, str]
"""A name and what it means."""


class HelpedCommand(TyperCommand):
    """A command whose help is made by `help_page`."""

    def get_help(self, ctx: Any) -> str:
        """Return the page."""
        return help_page(self, ctx)


class HelpedGroup(TyperGroup):
    """A group of commands whose help is made by `help_page`."""

    def get_help(self, ctx: Any) -> str:
        """Return the page."""
        return help_page(self, ctx)


class GroupWithDefault(HelpedGroup):
    """A group of commands whose first command may be called without its name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments, with the name of the first command if they have none."""
        wants_help = args[:1] and args[0] in ctx.help_option_names
        return super().parse_args(ctx, args if wants_help else self.with_command(args))

    def with_command(self, args: list[str]) -> list[str]:
        """Put the name of the first command before arguments that begin with no name."""
        return [next(iter(self.commands)), *args] if args and args[0] not in self.commands else args


class CommandGroup(typer.Typer):
    """Declares a group of commands whose help is made by `help_page`."""

    def __init__(self, *, help: str, has_default: bool = False) -> None:  # noqa: A002  # typer's
        cls = GroupWithDefault if has_default else HelpedGroup
        super().__init__(cls=cls, add_completion=False, no_args_is_help=True, help=help)

    def command(
        self, name: str | None = None, **settings: Any
    ) -> Callable[[CommandFunction], CommandFunction]:
        """Declare the decorated function as a command."""
        return super().command(name, cls=HelpedCommand, **settings)


def help_page(command: TyperCommand | TyperGroup, context: Any) -> str:
    """Return the page, as wide as the terminal and at most 100 columns; headings are bold."""
    columns = shutil.get_terminal_size().columns
    width = min(max(columns, _NARROWEST), _WIDEST)
    return "\n".join(_lines(command, context, width)).strip("\n")


def argument_name(argument: TyperArgument) -> str:
    """Return the name of an argument in help and errors, such as `KIND`."""
    return (argument.metavar or argument.name.upper()).strip("[].")


def _lines(command: TyperCommand | TyperGroup, context: Any, width: int) -> Iterator[str]:
    prose, examples = parts_of_help(command.help or "")
    for paragraph in prose:
        yield from (*textwrap.wrap(paragraph, width), "")
    params = [param for param in command.get_params(context) if not getattr(param, "hidden", False)]
    arguments = [param for param in params if isinstance(param, TyperArgument)]
    options = [param for param in params if isinstance(param, TyperOption)]
    yield _heading("Usage") + " " + _usage(command, context, arguments)
    if isinstance(command, GroupWithDefault):
        yield " " * len("Usage: ") + f"{context.command_path} COMMAND [OPTIONS]"
    yield from _section("Examples", [(example, "") for example in examples], width)
    rows = [(argument_name(argument), meaning_of(argument, context)) for argument in arguments]
    yield from _section("Arguments", [row for row in rows if row[1]], width)
    if isinstance(command, TyperGroup):
        for panel, commands in _panels(command).items():
            yield from _section(panel, commands, width)
    rows = [(option_name(option), meaning_of(option, context)) for option in options]
    yield from _section("Options", rows, width)


def parts_of_help(text: str) -> tuple[list[str], list[str]]:
    """Return the paragraphs of a docstring and its examples, which are command lines."""
    prose: list[str] = []
    examples: list[str] = []
    for paragraph in cleandoc(text).split("\n\n"):
        if not _is_example(paragraph):
            prose.append(" ".join(paragraph.split()))
            continue
        for line in paragraph.splitlines():
            if _is_example(line):
                examples.append(line.strip())
            else:
                examples[-1] += f" \\\n{_INDENT * 3}{line.strip()}"
    return prose, examples


def _is_example(text: str) -> bool:
    return text.lstrip().startswith("activityctl ") or "| activityctl " in text


def _usage(
    command: TyperCommand | TyperGroup, context: Any, arguments: Sequence[TyperArgument]
) -> str:
    path = context.command_path
    if isinstance(command, GroupWithDefault):  # the arguments of its first command
        params = next(iter(command.commands.values())).get_params(context)
        return _words(path, [param for param in params if isinstance(param, TyperArgument)])
    return " ".join([_words(path, arguments), *["COMMAND"] * isinstance(command, TyperGroup)])


def _words(path: str, arguments: Sequence[TyperArgument]) -> str:
    words = [path]
    for argument in arguments:
        name = argument_name(argument) + ("..." if argument.nargs != 1 else "")
        words.append(name if argument.required else f"[{name}]")
    return " ".join([*words, "[OPTIONS]"])


def _panels(group: TyperGroup) -> dict[str, list[Row]]:
    panels: dict[str, list[Row]] = {}
    for name, command in group.commands.items():
        panel = getattr(command, "rich_help_panel", None)
        title = panel if isinstance(panel, str) else "Commands"
        first = " ".join(
            cleandoc(command.short_help or command.help or "").split("\n\n")[0].split()
        )
        panels.setdefault(title, []).append((name, first))
    return panels


def option_name(option: TyperOption) -> str:
    """Return the option as a user types it: `-o, --output FORMAT`, `--wait / --no-wait`."""
    short = [text for text in option.opts if not text.startswith("--")]
    long = [text for text in option.opts if text.startswith("--")]
    name = ", ".join(short + long)
    if not short:
        name = " " * len("-o, ") + name
    if option.is_flag:
        return " / ".join([name, *option.secondary_opts])
    return f"{name} {option.metavar or (long or [option.name])[0].strip('-_').upper()}"


def meaning_of(param: TyperOption | TyperArgument, context: Any) -> str:
    """Return the help, then the default and bounds in brackets, which no line break divides."""
    record = param.get_help_record(context)
    text = " ".join(record[1].split()) if record else ""
    text = re.sub(r" ?\[required\]|; required(?=\])", "", text)
    text = re.sub(r"(\d+)<=x<=(\d+)", r"\1 to \2", text)
    text = re.sub(r"x>=(\d+)", r"at least \1", text)
    if getattr(param, "multiple", False):
        text += " [repeatable]"
    return re.sub(r"\[[^\]]+\]$", lambda found: found[0].replace(" ", _HARD_SPACE), text)


def _heading(title: str) -> str:
    return typer.style(f"{title}:", bold=True)


def _section(title: str, rows: Sequence[Row], width: int) -> Iterator[str]:
    """Yield a heading and a table of two columns; a name that is too long gets its own line."""
    if not rows:
        return
    yield from ("", _heading(title))
    short = [len(name) for name, meaning in rows if meaning and len(name) <= _WIDEST_NAME]
    column = len(_INDENT) + max(short, default=0) + 2
    for name, meaning in rows:
        yield from _row(_INDENT + name, meaning, column, width)


def _row(name: str, meaning: str, column: int, width: int) -> Iterable[str]:
    if not meaning:
        return [name]
    wrapped = textwrap.wrap(meaning, width - column, break_long_words=False, break_on_hyphens=False)
    lines = [line.replace(_HARD_SPACE, " ") for line in wrapped]
    if len(name) + 2 > column:
        return [name, *(" " * column + line for line in lines)]
    return [name.ljust(column) + lines[0], *(" " * column + line for line in lines[1:])]
