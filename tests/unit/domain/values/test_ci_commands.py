"""What a CI takes for a command is shown with a backslash in it."""

import io

import pytest

from activityctl.cli.session import DefusedStream
from activityctl.domain.values.ci_commands import defused


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("::set-output name=a::b\n", "\\::set-output name=a::b\n"),
        ("  ::error::x", "  \\::error::x"),
        ("a\n\t::error::x\n", "a\n\t\\::error::x\n"),
        ("a ##[error]x", "a #\\#[error]x"),
        ("##vso[task.setvariable]x", "#\\#vso[task.setvariable]x"),
        ("a::b ## c #[", "a::b ## c #["),
    ],
)
def test_commands_are_defused(text: str, shown: str):
    assert defused(text, at_line_start=True) == shown


def test_a_stream_knows_where_a_line_begins():
    stream = DefusedStream(under := io.StringIO())
    for part in ("a", "::b\n", "::c", "\n"):
        stream.write(part)
    assert under.getvalue() == "a::b\n\\::c\n"
