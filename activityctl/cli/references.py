"""Names on the command line: `disk-report` and `subscription/disk-report` are the same."""

from activityctl.operations.looking.kinds import name_of


def subscription_reference(value: str | None) -> str | None:
    """Return the name without `subscription/`; UsageError if it is of another kind."""
    return None if value is None else name_of(value, "subscriptions")


def run_reference(value: str | None) -> str | None:
    """Return the id without `run/`; UsageError if it is of another kind."""
    return None if value is None else name_of(value, "runs")
