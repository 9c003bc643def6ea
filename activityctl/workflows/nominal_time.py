"""The time for which a Temporal schedule started a workflow."""

from datetime import datetime

from temporalio import workflow
from temporalio.common import SearchAttributeKey

_SCHEDULED_AT = SearchAttributeKey.for_datetime("TemporalScheduledStartTime")


def nominal_time() -> datetime:
    """Return the nominal time of the schedule; when the workflow started if no schedule did it."""
    info = workflow.info()
    return info.typed_search_attributes.get(_SCHEDULED_AT) or info.start_time
