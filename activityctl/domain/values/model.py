"""The base of all models read from YAML: frozen, camelCase names, no unknown fields."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationInfo
from pydantic.alias_generators import to_camel

NAME_PATTERN: Final = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
"""The pattern of every name: a label of RFC 1123."""

WRITTEN: Final = {"written": True}
"""The validation context for what a person has written now.

Stored data is read without it, so that a rule that came later does not make it unreadable.
"""

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
JsonValue = Any
"""None, bool, int, float, str, list, or dict with str keys."""


def is_written(info: ValidationInfo) -> bool:
    """Return whether a model reads what a person has written now, not stored data."""
    return info.context == WRITTEN


class Manifest(BaseModel):
    """A frozen value read from YAML; an unknown field is an error."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        strict=True,
        defer_build=True,  # a command needs few of the models; each is built at its first use
    )


class Kinded(Manifest):
    """An item whose kind is its only key that is not a field (`http:`, `cron:`, `runs:`).

    This class does not know which kinds exist: `domain.manifests.checks` compares the
    keys with the lists of kinds, so that a package can add one.
    """

    model_config = ConfigDict(extra="allow")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The keys that are not fields; a checked item has exactly one."""
        return tuple(self.model_extra or ())

    @property
    def kind(self) -> str:
        """The kind of a checked item."""
        (kind,) = self.kinds
        return kind

    @property
    def body(self) -> JsonValue:
        """The value under the kind's key, with templates not rendered."""
        return (self.model_extra or {})[self.kind]


def canonical(model: Manifest) -> dict[str, JsonValue]:
    """Return the canonical JSON form of a manifest: camelCase, without defaults."""
    return model.model_dump(mode="json", by_alias=True, exclude_defaults=True)
