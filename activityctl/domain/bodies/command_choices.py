"""Which expressions may choose what a `command` task runs: its program, account and folder.

Only those that read nothing but `params`, which whoever applies has written. An event, an output
or a state can come from a stranger.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from activityctl.domain.bodies.interpreters import program_words
from activityctl.domain.cel.program import Fault, compiled
from activityctl.domain.cel.templates import TemplateExpression, has_expression, template_parts
from activityctl.domain.values.finding import Finding, Path
from activityctl.domain.values.model import JsonValue
from activityctl.errors import ExpressionError

_ITEM: Final = "item"
_TRUSTED: Final = frozenset({"params"})
_LOADING: Final = frozenset(
    (
        "BASH_ENV",
        "CLASSPATH",
        "EDITOR",
        "ENV",
        "GIT_CONFIG_GLOBAL",
        "GIT_EXEC_PATH",
        "GIT_EXTERNAL_DIFF",
        "GIT_PROXY_COMMAND",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GCONV_PATH",
        "IFS",
        "JAVA_TOOL_OPTIONS",
        "JDK_JAVA_OPTIONS",
        "LESSOPEN",
        "LUA_INIT",
        "LUA_PATH",
        "MAKEFLAGS",
        "NODE_OPTIONS",
        "NODE_PATH",
        "PAGER",
        "PATH",
        "PERL5DB",
        "PERL5LIB",
        "PERL5OPT",
        "PHPRC",
        "PROMPT_COMMAND",
        "PS4",
        "PYTHONHOME",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "RUBYLIB",
        "RUBYOPT",
        "SHELL",
        "VISUAL",
    )
)
"""Variables that choose which code a program loads or starts."""
_LOADING_STARTS: Final = ("LD_", "DYLD_", "GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_")


def trusted_names(for_each: JsonValue) -> frozenset[str]:
    """Return the names whose values come from whoever applies; `item` if the items do."""
    is_trusted = for_each is not None and _reads_only(for_each, _TRUSTED)
    return _TRUSTED | {_ITEM} if is_trusted else _TRUSTED


def check_choices(body: JsonValue, trusted: frozenset[str]) -> Iterator[Finding]:
    """Yield each expression in a body that may not choose what it chooses."""
    for path, text, chosen in _choices(body):
        for part in template_parts(text):
            if isinstance(part, TemplateExpression) and not reads_only_names(part.source, trusted):
                begin = part.offset + len(part.source) - len(part.source.lstrip())
                yield Finding(path, _reason(chosen), begin)
                break


def refuse_choices(body: JsonValue, trusted: frozenset[str]) -> None:
    """Raise ExpressionError for a stored body that `check_choices` refuses."""
    for finding in check_choices(body, trusted):
        raise ExpressionError(f"{'.'.join(map(str, finding.path)) or 'command'}: {finding.reason}")


def _reason(chosen: str) -> str:
    return (
        f"a value must not choose {chosen}, because it could come from a stranger; "
        "write it out, or take it from params alone"
    )


def _choices(body: JsonValue) -> Iterator[tuple[Path, str, str]]:
    """Yield each text that chooses something, with its path and what it chooses."""
    if isinstance(body, str):
        yield (), body, "the program"
    if not isinstance(body, Mapping):
        return
    yield from _program_choices(body.get("argv"))
    for field, chosen in (("user", "the account"), ("cwd", "the working folder")):
        if isinstance(text := body.get(field), str):
            yield (field,), text, chosen
    yield from _variable_choices(body.get("env"))


def _program_choices(argv: JsonValue) -> Iterator[tuple[Path, str, str]]:
    if isinstance(argv, str):
        yield ("argv",), argv, "the program"
    elif isinstance(argv, list):
        words = [str(word) for word in argv]
        for index in program_words(words):
            yield ("argv", index), words[index], "the program"
        for index, word in enumerate(words):
            if (name := word.partition("=")[0]) != word and _loads_code(name):
                yield ("argv", index), word, f"{name}, which decides what code runs"


def _variable_choices(env: JsonValue) -> Iterator[tuple[Path, str, str]]:
    if isinstance(env, str):
        yield ("env",), env, "the names of variables"
    elif isinstance(env, Mapping):
        for name, text in env.items():
            if isinstance(text, str) and _loads_code(name):
                yield ("env", name), text, f"{name}, which decides what code runs"


def _reads_only(template: JsonValue, names: frozenset[str]) -> bool:
    match template:
        case str():
            return not has_expression(template) or all(
                reads_only_names(part.source, names)
                for part in template_parts(template)
                if isinstance(part, TemplateExpression)
            )
        case Mapping():
            return all(_reads_only(value, names) for value in template.values())
        case list() | tuple():
            return all(_reads_only(value, names) for value in template)
        case _:
            return True


def _loads_code(name: str) -> bool:
    return name in _LOADING or name.startswith(_LOADING_STARTS)


def reads_only_names(source: str, names: frozenset[str]) -> bool:
    """Return whether an expression reads nothing but these names; true for one with a fault."""
    program = compiled(source)
    return isinstance(program, Fault) or program.shape.names.keys() <= names
