"""`activityctl metrics`: the dashboard and the alerts for the metrics of `/metrics`."""

from enum import StrEnum
from importlib.resources import files
from typing import Annotated

import typer

from activityctl.cli.session import Session


class What(StrEnum):
    """What the command prints."""

    DASHBOARD = "dashboard"
    ALERTS = "alerts"


def metrics(
    context: typer.Context,
    what: Annotated[
        What, typer.Argument(help="dashboard (JSON for Grafana) or alerts (rules for Prometheus).")
    ],
) -> None:
    """Print a Grafana dashboard, or Prometheus alert rules, for the metrics of activityctl.

    The page Monitoring of the guide has all metrics.

    activityctl metrics dashboard > activityctl-dashboard.json

    activityctl metrics alerts > activityctl-alerts.yaml
    """
    session: Session = context.obj
    name = "dashboard.json" if what is What.DASHBOARD else "alerts.yaml"
    text = (files("activityctl.cli") / "templates" / name).read_text("utf-8")
    session.out.file.write(text)
