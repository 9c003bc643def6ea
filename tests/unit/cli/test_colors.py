"""When escape sequences are written."""

import io

import pytest

from activityctl.cli.colors import check_choice, choice_of, uses_escapes
from activityctl.errors import UsageError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("choice", "environment", "on_terminal", "elsewhere"),
    [
        ("auto", {}, True, False),
        ("auto", {"NO_COLOR": ""}, True, False),
        ("auto", {"NO_COLOR": "1"}, False, False),
        ("auto", {"TERM": "dumb"}, False, False),
        ("auto", {"FORCE_COLOR": "1"}, True, False),
        ("never", {}, False, False),
        ("always", {"NO_COLOR": "1"}, True, True),
    ],
)
def test_only_a_terminal_or_always_gets_escapes(choice, environment, on_terminal, elsewhere):
    assert uses_escapes(Terminal(), choice, environment) is on_terminal
    assert uses_escapes(io.StringIO(), choice, environment) is elsewhere


@pytest.mark.parametrize(
    ("arguments", "choice"),
    [
        (["--color", "never", "--help"], "never"),
        (["--help", "--color=always"], "always"),
        (["get", "runs"], "auto"),
        (["--color"], "auto"),
        (["--color", "blue"], "auto"),
    ],
)
def test_the_choice_is_known_before_the_arguments_are_parsed(arguments, choice):
    assert choice_of(arguments) == choice


def test_another_choice_is_refused():
    with pytest.raises(UsageError, match="--color takes auto, always or never, not 'blue'"):
        check_choice("blue")
