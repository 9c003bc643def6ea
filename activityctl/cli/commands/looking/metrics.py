"""`activityctl metrics`: the dashboard and the alerts for the metrics of `/metrics`."""

from importlib.resources import files
from typing import Annotated, Final

import typer

from activityctl.cli.session import Session
from activityctl.errors import UsageError

_FILES: Final = {"dashboard": "dashboard.json", "alerts": "alerts.yaml"}


def metrics(
    context: typer.Context,
    what: Annotated[
        str, typer.Argument(help="dashboard (JSON for Grafana) or alerts (rules for Prometheus).")
    ],
) -> None:
    """Print a Grafana dashboard, or Prometheus alert rules, for the metrics of activityctl.

    The page Monitoring of the guide has all metrics.

    activityctl metrics dashboard > activityctl-dashboard.json

    activityctl metrics alerts > activityctl-alerts.yaml
    """
    session: Session = context.obj
    if what not in _FILES:
        raise UsageError(
            f"there is no {what!r} to print: write dashboard or alerts",
            hint="activityctl guide monitoring",
        )
    text = (files("activityctl.cli") / "templates" / _FILES[what]).read_text("utf-8")
    session.out.file.write(text)
