"""Finds secrets that are written into a manifest; `secret_texts` knows them.

A manifest is kept in git and, for good, in revisions and history. Whoever reads those would have
the secret.
"""

from collections.abc import Iterator
from typing import Final

from activityctl.domain.bodies.secret_texts import Secret, known_form, secret_in
from activityctl.domain.manifests.document import Document
from activityctl.domain.values.credentials import MASK
from activityctl.domain.values.finding import Finding, Path
from activityctl.domain.values.model import JsonValue

ALLOWING_ANNOTATION: Final = "activityctl/literal-secrets"
"""With the value `allow`, the texts of the object are not searched for secrets."""
_MASKED: Final = "*** stands for a secret that is not shown; write an expression, or its value"
_WAY_OUT: Final = (
    "it would be stored with each revision; keep it with `activityctl secrets set NAME` and write "
    "{secretRef: NAME} in its place. If it is no secret, add the annotation "
    f"{ALLOWING_ANNOTATION}: allow"
)


def literal_secrets(document: Document) -> list[Finding]:
    """Return a finding for each text of the object that looks like a secret.

    A value with an expression is no literal. The reason never quotes the text. The mask that
    `export` shows in place of a secret is always refused.
    """
    spec = list(_values(document["spec"], ("spec",)))
    findings = [Finding(path, _MASKED) for path, value, _ in spec if value == MASK]
    if document["metadata"].get("annotations", {}).get(ALLOWING_ANNOTATION) == "allow":
        return findings
    for path, value, _ in _values(document["metadata"], ("metadata",)):
        if isinstance(value, str) and (secret := known_form(value)):
            findings.append(_finding(path, secret))
    for path, value, keys in spec:
        if value != MASK and (secret := secret_in(keys, value)):
            findings.append(_finding(path, secret))
    return findings


def _finding(path: Path, secret: Secret) -> Finding:
    return Finding(path, f"{secret.what}: {_WAY_OUT}", secret.offset)


def _values(
    value: JsonValue, path: Path, keys: tuple[str, ...] = ()
) -> Iterator[tuple[Path, str | float, tuple[str, ...]]]:
    """Yield each text and number with its path and the keys above it; items have their list's."""
    match value:
        case None | bool():
            return
        case dict():
            for key, child in value.items():
                yield from _values(child, (*path, key), (*keys, key))
        case list():
            for index, child in enumerate(value):
                yield from _values(child, (*path, index), keys)
        case _:
            yield path, value, keys
