"""Load and apply manifests, for the commands that do so."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from activityctl import wiring
from activityctl.cli.render.progress import on_interrupt_say_unknown, schedule_progress
from activityctl.cli.server_time import server_clock
from activityctl.cli.session import Session
from activityctl.cli.told_waits import told_wait
from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.gitops.plan import Wanted
from activityctl.operations.gitops.apply import Applied
from activityctl.operations.gitops.apply import apply as apply_manifests
from activityctl.operations.gitops.credentials import with_credentials as add_credentials
from activityctl.operations.gitops.load import load_manifests
from activityctl.operations.gitops.plan import Planned
from activityctl.wiring import Ports


def apply_files(session: Session, paths: list[str], *, recursive: bool, timeout: float) -> Applied:
    """Load, check and apply the manifests, then wait for the schedules."""
    manifests = load_files(session, paths, recursive=recursive)
    return apply_loaded(session, manifests, manifests.wanted, WaitOptions(timeout))


def load_files(
    session: Session, paths: list[str], *, recursive: bool, may_be_empty: bool = False
) -> ManifestSet:
    """Load and check the manifests; InvalidManifestsError lists every problem."""
    session.files = paths
    with wiring.evaluating():
        return load_manifests(
            wiring.manifest_source(),
            paths,
            wiring.known_kinds(),
            recursive=recursive,
            may_be_empty=may_be_empty,
        )


def unread_objects(
    paths: list[str], *, recursive: bool, prune: bool
) -> Mapping[tuple[str, str], str]:
    """Return the files of objects in subfolders that are not read; none without pruning."""
    return wiring.manifest_source().names_below(paths) if prune and not recursive else {}


def with_credentials(session: Session, manifests: ManifestSet, planned: Planned) -> Planned:
    """Return the plan with the secrets and keys that the manifests need, and which are here."""
    known = {secret.name for secret in wiring.open_secrets(session.settings).known()}
    keys = wiring.open_keys(session.settings)
    return add_credentials(planned, manifests, known, keys.known)


@dataclass(frozen=True, slots=True)
class WaitOptions:
    """How long to wait for the schedules, and whether to wait even if no worker is alive."""

    seconds: float
    wait_without_worker: bool = False


def apply_loaded(
    session: Session, manifests: ManifestSet, wanted: Wanted, options: WaitOptions
) -> Applied:
    """Store the wanted state, then wait until the schedules in Temporal match it."""

    async def work(ports: Ports) -> Applied:
        clock = await server_clock(ports)
        with schedule_progress(session) as on_pending:
            applying = apply_manifests(
                manifests,
                ports.catalog,
                ports.register,
                ports.workers,
                clock,
                timeout_seconds=options.seconds,
                wanted=wanted,
                origin=session.origin,
                on_write=partial(on_interrupt_say_unknown, session),
                on_pending=on_pending,
                wait_without_worker=options.wait_without_worker,
            )
            return await told_wait(session, ports, applying)

    return session.with_ports(work)
