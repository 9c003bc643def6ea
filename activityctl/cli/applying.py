"""Load and apply manifests, for the commands that do so."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from activityctl import wiring
from activityctl.cli.few_collections import few_collections
from activityctl.cli.session import Session
from activityctl.cli.verbs.gitops import Loaded, WaitOptions, gitops_of
from activityctl.operations.gitops.apply import Applied
from activityctl.operations.gitops.load import load_manifests
from activityctl.operations.gitops.plan import wanted_of


def apply_files(session: Session, paths: list[str], *, recursive: bool, timeout: float) -> Applied:
    """Load, check and apply the manifests, then wait for the schedules."""
    loaded = load_files(session, paths, recursive=recursive)
    options = WaitOptions(timeout)
    return session.with_ports(lambda ports: gitops_of(session, ports).apply(loaded, options))


def load_files(
    session: Session, paths: list[str], *, recursive: bool, may_be_empty: bool = False
) -> Loaded:
    """Load and check the manifests; InvalidManifestsError lists every problem."""
    session.files = paths
    source = wiring.manifest_source()
    with wiring.evaluating(), few_collections():
        manifests = load_manifests(
            source, paths, wiring.known_kinds(), recursive=recursive, may_be_empty=may_be_empty
        )
    return Loaded(manifests, source.files_read, manifests.wanted)


def with_options(loaded: Loaded, **options: Any) -> Loaded:
    """Return the manifests with what `wanted_of` makes of the options."""
    return replace(loaded, wanted=wanted_of(loaded.manifests, **options))


def unread_objects(
    paths: list[str], *, recursive: bool, prune: bool
) -> Mapping[tuple[str, str], str]:
    """Return the files of objects in subfolders that are not read; none without pruning."""
    return wiring.manifest_source().names_below(paths) if prune and not recursive else {}
