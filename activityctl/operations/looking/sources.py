"""Event sources as `get` and `describe` show them, with what came to them."""

from typing import Final

from activityctl.domain.manifests.json_form import source_view
from activityctl.domain.sources.traffic import refused_view
from activityctl.domain.values.json_form import View
from activityctl.domain.values.selection import Selection
from activityctl.ports import Catalog

_SHOWN_REFUSALS: Final = 20


async def source_views(catalog: Catalog, selection: Selection) -> list[View]:
    """Return the selected event sources."""
    return [source_view(*found) for found in await catalog.listed_sources(selection)]


async def refusals_of(catalog: Catalog, source: str) -> View:
    """Return the last requests that an event source has refused, as a part of its description."""
    refused = await catalog.refused_requests(source, _SHOWN_REFUSALS)
    return {"refusedRequests": [refused_view(each) for each in refused]}
