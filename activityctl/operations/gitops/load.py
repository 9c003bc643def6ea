"""Load manifest files: return a checked set, or every problem of every file at once."""

from collections.abc import Sequence

from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.gitops.set_checks import CheckedFiles, check_set
from activityctl.domain.manifests.checks import Kinds
from activityctl.errors import InvalidManifestsError
from activityctl.ports import ManifestSource


def load_manifests(
    source: ManifestSource,
    paths: Sequence[str],
    kinds: Kinds,
    *,
    recursive: bool,
    may_be_empty: bool = False,
) -> ManifestSet:
    """Return the manifests; InvalidManifestsError lists every problem found without a server.

    A subscription is checked against its definition if the files have it. If not, `check_against`
    checks it later against the live definition. With `may_be_empty`, no manifest at all is no
    problem.
    """
    checked = check_files(source, paths, kinds, recursive=recursive)
    is_empty = not checked.manifests.locate and all(each.is_empty for each in checked.problems)
    if checked.problems and not (may_be_empty and is_empty):
        raise InvalidManifestsError(checked.problems)
    return checked.manifests


def check_files(
    source: ManifestSource, paths: Sequence[str], kinds: Kinds, *, recursive: bool
) -> CheckedFiles:
    """Return the manifests of the files, and every problem that is found without a server."""
    manifests, problems = source.read(paths, recursive=recursive)
    return check_set(manifests, kinds, problems)
