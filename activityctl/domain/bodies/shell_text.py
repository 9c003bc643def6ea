"""Reads the text of a shell script far enough to know what surrounds a value in it.

A value that stands in a script is passed in an environment variable, and the script gets the
expansion of that variable. A shell never reads the result of an expansion as commands. A mistake
of this reader can therefore lead to wrong quoting, but not to commands from the value.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from activityctl.domain.bodies.interpreters import reads_code, starts_shell_code

_HEREDOC: Final = re.compile(r"<<(-?)[ \t]*(\\|['\"]?)([\w.-]+)['\"]?")
_PIPED_TO_SHELL: Final = re.compile(
    r"\|\s*(?:sudo\s+)?(?:\S*/)?(?:sh|bash|dash|zsh|ksh)(?:[ \t]+-\w*)*[ \t]*(?:[;&|)\n]|$)"
)
_SEPARATORS: Final = frozenset(";|&\n")
_PLAIN: Final = frozenset({"plain", "paren", "backtick"})


@dataclass(slots=True)
class _Context:
    kind: str
    """plain, paren, backtick, double, single, ansi, arithmetic, comment or heredoc."""
    command: str = ""
    """The literal text of the command so far, without what is quoted in it."""
    depth: int = 0
    delimiter: str = ""
    strips_tabs: bool = False
    is_literal: bool = False


@dataclass(slots=True)
class ShellReader:
    """Reads the literal parts of a script in order; between them stand values."""

    whole: str
    """All literal parts together."""
    _stack: list[_Context] = field(default_factory=lambda: [_Context("plain")])
    _heredocs: list[_Context] = field(default_factory=list)
    _line: str = ""
    _is_escaped: bool = False

    def read(self, text: str) -> None:
        """Read the next literal part."""
        at = 0
        while at < len(text):
            at += self._step(text, at)

    def danger(self) -> str | None:
        """Return why a text cannot be passed here, or None if `expansion` passes it safely."""
        top = self._stack[-1]
        places = {
            "after a backslash": self._is_escaped,
            "in arithmetic": top.kind == "arithmetic",
            "in a here-document with a quoted delimiter": top.is_literal,
            "in a script that pipes text into a shell": _PIPED_TO_SHELL.search(self.whole),
        }
        if place := next((place for place, is_here in places.items() if is_here), None):
            return place
        words = self._words()
        if name := starts_shell_code(words):
            return f"in a command of {name}, which reads it as code"
        if top.kind not in _PLAIN and (name := reads_code(words)):
            return f"in a text for {name}, which reads it as code"
        return None

    def expansion(self, name: str) -> str:
        """Return the expansion of a variable as one word of the script at this place."""
        match self._stack[-1].kind:
            case "double" | "heredoc":
                text = f"${{{name}}}"
            case "single":
                text = f"'\"${{{name}}}\"'"
            case "ansi":
                text = f"'\"${{{name}}}\"$'"
            case "comment":
                text = ""
            case _:
                text = f'"${{{name}}}"'
        self.literal(text and "x")
        return text

    def literal(self, text: str) -> None:
        """Note that a word without special characters stands here."""
        self._line += text
        if self._stack[-1].kind in _PLAIN:
            self._stack[-1].command += text

    def _words(self) -> Sequence[str]:
        top = self._stack[-1]
        if top.kind == "heredoc":
            return top.command.split()
        return next(c for c in reversed(self._stack) if c.kind in _PLAIN).command.split()

    def _step(self, text: str, at: int) -> int:
        """Read what begins at this position, and return its length."""
        letter, top = text[at], self._stack[-1]
        if self._is_escaped:
            self._is_escaped = False
            return 1
        if letter == "\n":
            return self._end_line()
        self._line += letter
        match top.kind:
            case "comment" | "heredoc":
                pass
            case "single":
                self._pop_at(letter, "'")
            case "ansi":
                self._is_escaped = letter == "\\"
                self._pop_at(letter, "'")
            case "arithmetic":
                return self._arithmetic(text, at)
            case "double":
                self._is_escaped = letter == "\\"
                if not self._pop_at(letter, '"'):
                    return self._substitution(text, at)
            case _:
                return self._plain(text, at)
        return 1

    def _pop_at(self, letter: str, end: str) -> bool:
        if letter == end:
            self._stack.pop()
        return letter == end

    def _plain(self, text: str, at: int) -> int:
        letter, top = text[at], self._stack[-1]
        self._is_escaped = letter == "\\"
        if letter == "#" and (not top.command or top.command[-1].isspace()):
            self._stack.append(_Context("comment"))
        elif text.startswith("$'", at):
            self._stack.append(_Context("ansi"))
            return 2
        elif letter in "'\"":
            top.command += "x"
            self._stack.append(_Context("single" if letter == "'" else "double"))
        elif letter in _SEPARATORS:
            top.command = ""
        elif letter == ")" and top.kind == "paren":
            self._stack.pop()
        elif (found := _HEREDOC.match(text, at)) and not text.startswith("<<<", at):
            tabs, quote, word = found.groups()
            self._heredocs.append(
                _Context("heredoc", top.command, 0, word, bool(tabs), bool(quote))
            )
            return len(found[0])
        else:
            return self._substitution(text, at)
        return 1

    def _substitution(self, text: str, at: int) -> int:
        """Read the begin or the end of a substitution, or a character without a meaning."""
        top = self._stack[-1]
        is_plain = top.kind in _PLAIN
        for start, kind in (("$((", "arithmetic"), ("((", "arithmetic"), ("$(", "paren")):
            if text.startswith(start, at) and (is_plain or start[0] == "$"):
                self._stack.append(_Context(kind))
                return len(start)
        if text[at] == "(" and is_plain:
            self._stack.append(_Context("paren"))
        elif text[at] == "`":
            self._backtick()
        elif is_plain:
            top.command += text[at]
        return 1

    def _backtick(self) -> None:
        kinds = [context.kind for context in self._stack]
        if "backtick" in kinds:
            del self._stack[kinds.index("backtick") :]
        else:
            self._stack.append(_Context("backtick"))

    def _arithmetic(self, text: str, at: int) -> int:
        top = self._stack[-1]
        if text[at] == "(":
            top.depth += 1
        elif text[at] == ")" and top.depth:
            top.depth -= 1
        elif text.startswith("))", at):
            self._stack.pop()
            return 2
        return 1

    def _end_line(self) -> int:
        """Read a line end: it ends commands and comments, and begins or ends here-documents."""
        line, self._line = self._line, ""
        if self._stack[-1].kind == "comment":
            self._stack.pop()
        top = self._stack[-1]
        if top.kind == "heredoc":
            if (line.lstrip("\t") if top.strips_tabs else line) == top.delimiter:
                self._stack.pop()
                self._begin_heredoc()
        elif top.kind in _PLAIN:
            top.command = ""
            self._begin_heredoc()
        return 1

    def _begin_heredoc(self) -> None:
        if self._heredocs:
            self._stack.append(self._heredocs.pop(0))
