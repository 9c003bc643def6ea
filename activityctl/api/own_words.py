"""Texts of errors in the words of the API: its parameters in place of the command line's options.

The rest of the program writes `--take-over`; a client of the API has sent `takeOver`. A whole
command that a hint names stays as it is, and so does what is quoted.
"""

import re
from typing import Final

from activityctl.errors import ActivityctlError

_LEFT_ALONE: Final = re.compile(r"""(?<!\w)(?:'[^']*'|"[^"]*"|`[^`]*`|activityctl [^;`]*)""")
_OPTION: Final = re.compile(r"(?<![\w-])(?:--(?=[a-z]{2})|-(?=[fl]\b))([a-z][a-z-]*)")
_OTHER_NAMES: Final = {"l": "label", "f": "files", "scope": "scopes"}
_COMMAND_LINE: Final = "activityctl/"
"""How the User-Agent of the command line begins, whose users know its options alone."""


def use_own_words(error: ActivityctlError, user_agent: str) -> None:
    """Have the error speak of parameters, unless the command line has sent the request."""
    if not user_agent.startswith(_COMMAND_LINE):
        error.message = own_words(error.message)
        error.hint = None if error.hint is None else own_words(error.hint)


def own_words(text: str) -> str:
    """Return the text with the names of parameters in place of those of options."""
    parts = []
    end = 0
    for found in _LEFT_ALONE.finditer(text):
        parts += [_translated(text[end : found.start()]), found.group()]
        end = found.end()
    return "".join((*parts, _translated(text[end:])))


def parameter_of(option: str) -> str:
    """Return the parameter of an option, which has no dashes before it."""
    first, *others = option.split("-")
    return _OTHER_NAMES.get(option, first + "".join(word.title() for word in others))


def _translated(text: str) -> str:
    return _OPTION.sub(lambda found: parameter_of(found[1]), text)
