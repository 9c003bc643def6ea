"""What a syntax error of YAML means, and what to do: often a value only needs quotes."""

import re
from typing import Any, Final

import yaml

from activityctl.adapters.manifests.yaml_scalars import quoted

QUOTE_BRACES: Final = (
    "quote this value: {{ begins a mapping in YAML; expressions of activityctl are written ${ … }"
)
_BLOCK_MARKS: Final = {"|", ">"}
_OPENING_QUOTE: Final = re.compile(r"\s*(?:- +)*(?:[\w.-]+: +)?(['\"])")
_VALUE_WITH_COLON: Final = re.compile(r"\s*(?:- +)*[\w.-]+: +[^\s'\"{\[|>#]")
_CANNOT_START: Final = "cannot start any token"
_MISPLACED: Final = frozenset("?:-%")
_TEMPLATE: Final = "${"

Place = tuple[int, int]
"""A line and a column, from 1."""


def syntax_problem(error: yaml.MarkedYAMLError, text: str) -> tuple[Place, str]:
    """Return where a syntax error is and its reason; the place is (0, 0) if it is not known.

    A value that only needs quotes is pointed at where it begins; other errors keep the parser's
    words.
    """
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return (0, 0), _parser_words(error)
    if error.context_mark is not None and error.context == "while scanning an alias":
        return _place(error.context_mark), "quote this value: an unquoted * begins a YAML alias"
    index = mark.index
    if error.context_mark is not None and error.context == "while scanning a block scalar":
        sign = text[error.context_mark.index : error.context_mark.index + 1]
        if sign in _BLOCK_MARKS and error.context_mark.line == mark.line:
            reason = f"quote this value: an unquoted {sign} begins a text on the next lines"
            return _place(error.context_mark), reason
    if index and text[index - 1 : index + 1] == _TEMPLATE:
        reason = "quote this value: ${ … } inside [ ] or { } needs quotes"
        return (mark.line + 1, mark.column), reason
    return _place(mark), _reason(error, text, index)


def _reason(error: yaml.MarkedYAMLError, text: str, index: int) -> str:
    problem = error.problem or ""
    line = text[text.rfind("\n", 0, index) + 1 : index]
    character = text[index : index + 1]
    if "a tab character" in problem or (_CANNOT_START in problem and character == "\t"):
        return "tabs are not allowed for indentation; use spaces"
    is_misplaced = problem == "did not find expected node content" and character in _MISPLACED
    if _CANNOT_START in problem or is_misplaced:
        here = " here" if is_misplaced else ""
        return f"quote this value: the character {quoted(character)} cannot start a value{here}"
    if problem == "found invalid Unicode character escape code":
        return "this escape is not a Unicode character; write the character itself"
    if problem.startswith("mapping values are not allowed") and _VALUE_WITH_COLON.match(line):
        return "quote this value: it contains a colon and a space"
    if error.context == "while parsing a block mapping" and (found := _OPENING_QUOTE.match(line)):
        return (
            f"quote the whole value: text follows the closing {found[1]}; "
            "write '' for a ' inside '…', and \\\" for a \" inside \"…\""
        )
    return _parser_words(error)


def _parser_words(error: yaml.MarkedYAMLError) -> str:
    words = ", ".join(part for part in (error.context, error.problem or "") if part)
    return f"not valid YAML: {' '.join(words.split())}"


def _place(mark: Any) -> Place:
    return mark.line + 1, mark.column + 1
