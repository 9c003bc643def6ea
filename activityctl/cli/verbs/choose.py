"""Chooses who carries out the verbs of a call."""

from activityctl.cli.session import Session
from activityctl.cli.verbs.verbs import Verbs
from activityctl.wiring import Ports, RemotePorts


def verbs_of(session: Session, ports: Ports) -> Verbs:
    """Return the verbs by the API if that is what was opened, else by Postgres."""
    if isinstance(ports, RemotePorts):
        from activityctl.cli.verbs.remote import RemoteVerbs

        return RemoteVerbs(ports.api)
    from activityctl.cli.verbs.local import LocalVerbs

    return LocalVerbs(session, ports)
