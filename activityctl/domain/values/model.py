"""The base of every model that stands in YAML: frozen, camelCase outside, nothing unknown."""

from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel

NAME_PATTERN: Final = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
"""DESIGN section 2: the pattern of every name (RFC 1123 label)."""

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
JsonValue = Any
"""None, bool, int, float, str, list and dict with str keys."""


class Manifest(BaseModel):
    """A frozen value read from YAML; an unknown field is an error, not a surprise."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        strict=True,
    )


class Kinded(Manifest):
    """An item whose kind is its one key that is no field (`http:`, `cron:`, `runs:`).

    Which kinds exist is not known here: `domain.checking` holds the keys against the
    lists of kinds, so that a package can add one.
    """

    model_config = ConfigDict(extra="allow")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every key that is no field; a checked item has exactly one."""
        return tuple(self.model_extra or ())

    @property
    def kind(self) -> str:
        """The item's kind."""
        (kind,) = self.kinds
        return kind

    @property
    def body(self) -> JsonValue:
        """What stands under the kind, templates unrendered."""
        return (self.model_extra or {})[self.kind]


def canonical(model: Manifest) -> dict[str, JsonValue]:
    """Return the manifest's one JSON form: camelCase, defaults left out."""
    return model.model_dump(mode="json", by_alias=True, exclude_defaults=True)
