"""Metadata: the name, labels and annotations of an object."""

from pydantic import Field

from activityctl.domain.values.model import Manifest, Name
from activityctl.domain.values.text import Text


class Metadata(Manifest):
    """The object's name, labels and annotations."""

    name: Name = Field(
        description="The object's name, unique among the objects of its kind: at most 63 "
        "characters of a-z, 0-9 and -.",
        examples=["order-review"],
    )
    labels: dict[str, Text] = Field(
        default={},
        description="Keys and values for selecting objects with `-l`.",
        examples=[{"team": "payments"}],
    )
    annotations: dict[str, Text] = Field(
        default={},
        description="Keys and texts for people and tools. They have no effect, except "
        "`activityctl/literal-secrets: allow`, which turns off the search for secrets.",
        examples=[{"runbook": "https://wiki.example/orders"}],
    )
