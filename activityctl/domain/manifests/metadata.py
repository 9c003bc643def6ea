"""Metadata: the name, labels and annotations of a manifest."""

from pydantic import Field

from activityctl.domain.values.model import Manifest, Name


class Metadata(Manifest):
    """Who a manifest is: its name, and labels and annotations for people and tools."""

    name: Name = Field(
        description="Unique among the objects of its kind.", examples=["order-review"]
    )
    labels: dict[str, str] = Field(
        default={}, description="For selection with -l.", examples=[{"team": "payments"}]
    )
    annotations: dict[str, str] = Field(
        default={},
        description="Free text for people and tools.",
        examples=[{"runbook": "https://wiki.example/orders"}],
    )
