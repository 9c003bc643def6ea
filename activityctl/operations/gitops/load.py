"""Load manifests: every problem of every file at once, or a checked set."""

from collections.abc import Sequence

from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.gitops.set_checks import CheckedFiles, check_set
from activityctl.domain.manifests.checks import Kinds
from activityctl.errors import InvalidManifestsError
from activityctl.ports import ManifestSource


def load_manifests(
    source: ManifestSource, paths: Sequence[str], kinds: Kinds, *, recursive: bool
) -> ManifestSet:
    """Return the manifests; InvalidManifestsError lists every problem found without a server.

    A subscription is checked against its definition when the files have that; the others are
    checked against what is present, by `check_against`.
    """
    examined = check_files(source, paths, kinds, recursive=recursive)
    if examined.problems:
        raise InvalidManifestsError(examined.problems)
    return examined.manifests


def check_files(
    source: ManifestSource, paths: Sequence[str], kinds: Kinds, *, recursive: bool
) -> CheckedFiles:
    """Return the manifests of the files with every problem that is found without a server."""
    manifests, problems = source.read(paths, recursive=recursive)
    return check_set(manifests, kinds, problems)
