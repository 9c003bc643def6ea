"""Reads the plans of Postgres."""

from collections.abc import Iterator
from typing import Any


def scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the parts of a plan that read the table or an index."""
    if "Scan" in plan["Node Type"] and ("Relation Name" in plan or "Index Name" in plan):
        yield plan
    for part in plan.get("Plans", []):
        yield from scans(part)
