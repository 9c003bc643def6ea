"""Which values may choose a secret: only those that whoever applies has written.

Else a stranger's event could name a secret, and a task would send it. So `{secretRef: NAME}` is
written out in a body; an expression in NAME may read `params` alone.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from activityctl.domain.bodies.command_choices import reads_only_names
from activityctl.domain.bodies.slots import Slots
from activityctl.domain.cel.expression import render
from activityctl.domain.cel.templates import ESCAPED, OPEN, TemplateExpression, template_parts
from activityctl.domain.values.finding import Finding, Path
from activityctl.domain.values.model import JsonValue
from activityctl.domain.values.secret_ref import SECRET_REF, is_secret_name, refs_in
from activityctl.errors import ExpressionError

TRUSTED: Final = frozenset({"params"})
_CHOSEN: Final = (
    "a value must not choose a secret, because it could come from a stranger; write the name out, "
    "or take it from params alone"
)


def check_secrets(body: JsonValue, slots: Slots) -> Iterator[Finding]:
    """Yield what is wrong with the secrets in a body: their names, and where they stand."""
    yield from check_secret_names(body)
    for path, _ in refs_in(body):
        if not slots.takes_secret_at(path):
            reason = "a secret cannot be used here, because this value is stored or shown"
            yield Finding(path, reason)


def check_secret_names(body: JsonValue) -> Iterator[Finding]:
    """Yield each name of a secret in a body that cannot be one, or that a stranger may choose."""
    for path, name in refs_in(body):
        expressions = [
            part for part in template_parts(name) if isinstance(part, TemplateExpression)
        ]
        if any(not reads_only_names(part.source, TRUSTED) for part in expressions):
            yield Finding((*path, SECRET_REF), _CHOSEN)
        elif not expressions and not is_secret_name(name):
            yield Finding((*path, SECRET_REF), f"{name!r} is not the name of a secret")


def refuse_chosen_secrets(body: JsonValue, rendered: JsonValue) -> None:
    """Raise ExpressionError if a value in the rendered body has chosen a secret."""
    written = {_as_rendered(path) for path, _ in refs_in(body)}
    for finding in check_secret_names(body):
        raise ExpressionError(f"{'.'.join(map(str, finding.path))}: {finding.reason}")
    for path, _ in refs_in(rendered):
        if path not in written:
            raise ExpressionError(f"{'.'.join(map(str, path)) or 'body'}: {_CHOSEN}")


def needed_secrets(body: JsonValue, params: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield the names of the secrets that a body needs.

    A name with an expression is rendered with the params; without params it is left out.
    """
    for _, name in refs_in(body):
        if OPEN not in name:
            yield name
        elif params is not None:
            try:
                rendered = render(name, {"params": params})
            except ExpressionError:
                continue
            if isinstance(rendered, str):
                yield rendered


def _as_rendered(path: Path) -> Path:
    return tuple(part.replace(ESCAPED, OPEN) if isinstance(part, str) else part for part in path)
