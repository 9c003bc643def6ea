"""Workflows of strangers: whoever reaches Temporal can start one with any firing."""

import logging

from temporalio import activity

from activityctl.domain.timing.firing import FiringRef
from activityctl.workflows.calls import Orders

_LOG = logging.getLogger(__name__)


def is_of_this_workflow(firing: FiringRef) -> bool:
    """Return whether the firing names the workflow that asks; True outside of a workflow."""
    return not activity.in_activity() or activity.info().workflow_id == firing.workflow_id


def refuse_stranger(firing: FiringRef) -> Orders:
    """Return orders to end the workflow at once, and log it."""
    _LOG.warning(
        "a workflow asks for a run that Postgres did not decide, and gets none; somebody else "
        "reaches Temporal and started it",
        extra={"run": firing.run_id},
    )
    return Orders(firing.run_id, is_over=True)
