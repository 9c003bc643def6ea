"""Writes values as YAML that our strict loader reads as it was."""

import json
import re
from typing import Final

import yaml

from activityctl.domain.values.ci_commands import CI_MARK, has_ci_command

_ODD_NUMBER: Final = re.compile(
    r"[-+]?(0[xXbBoO][0-9a-fA-F_]*|[.0-9][0-9_.:]*([eE][-+]?[0-9]*)?|\.(inf|Inf|INF|nan|NaN|NAN))"
)
_ODD_WORDS: Final = frozenset({"yes", "no", "on", "off", "true", "false", "null"})


def to_yaml(value: object) -> str:
    """Return YAML in the given order; a string that looks like another type is quoted."""

    class Dumper(yaml.SafeDumper):
        """Also quotes texts that our strict loader refuses as unusual numbers."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
        is_odd = _ODD_NUMBER.fullmatch(value) or value.lower() in _ODD_WORDS
        style = "'" if is_odd else None
        style = '"' if has_ci_command(value) else style
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    has_commands = has_ci_command(json.dumps(value, default=str))
    width = float("inf") if has_commands else 100  # a folded line could begin with a command
    text_of_all = yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=False, width=width)
    return CI_MARK.sub(r"\\x23", text_of_all)  # only within quotes, see above
