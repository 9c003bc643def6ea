"""Renames: finds the live subscriptions that manifests rename, and refuses what is unclear."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.gitops.plan import Present, Wanted
from activityctl.domain.manifests.subscription import SubscriptionManifest
from activityctl.domain.values.finding import Finding
from activityctl.errors import ConflictError, Problem


def with_renames(wanted: Wanted, present: Present) -> Present:
    """Return the live objects with the names that the manifests give them.

    A subscription is renamed if it is live and there is no live one with the new name; else its
    `renamedFrom` has no effect. So a rename that is done, or that was never needed, changes
    nothing. Raises ConflictError if the old name is also in the manifests, or if a deleted
    subscription had the new name: its runs keep it.
    """
    if present.renamed_from:
        return present
    renamed = {
        name: old
        for name, old in sorted(old_names(wanted.subscriptions).items())
        if present.live(name) is None and present.live(old) is not None
    }
    for name, old in renamed.items():
        _require_clear(name, old, wanted, present)
    olds = set(renamed.values())
    subscriptions = {
        name: found for name, found in present.subscriptions.items() if name not in olds
    }
    subscriptions |= {
        name: replace(present.subscriptions[old], name=name) for name, old in renamed.items()
    }
    return replace(present, subscriptions=subscriptions, renamed_from=renamed)


def rename_problems(manifests: ManifestSet) -> Iterator[Problem]:
    """Yield the faults of old names that are seen without a server."""
    first: dict[str, str] = {}
    for name, old in old_names(manifests.subscriptions).items():
        reason = None
        if old == name:
            reason = "is the name itself; give the old name, or leave the field out"
        elif old in first:
            reason = f"subscription {first[old]!r} is renamed from {old!r}, too"
        first.setdefault(old, name)
        if reason is not None:
            path = ("metadata", "renamedFrom")
            yield manifests.locate["Subscription", name](Finding(path, reason))


def old_names(manifests: Mapping[str, SubscriptionManifest]) -> dict[str, str]:
    """Return the old names that the manifests give, by new name."""
    return {
        name: old
        for name, manifest in manifests.items()
        if (old := manifest.metadata.renamed_from) is not None
    }


def _require_clear(name: str, old: str, wanted: Wanted, present: Present) -> None:
    what = f"subscription/{old} cannot be renamed to {name}"
    if old in wanted.subscriptions:
        raise ConflictError(
            f"{what}: the manifests have both names",
            hint=f"remove the manifest of {old}, or the field renamedFrom of {name}",
        )
    if name in present.subscriptions:
        raise ConflictError(
            f"{what}: a deleted subscription had that name, and its runs keep it",
            hint="choose another new name, or remove the field renamedFrom to start a new one",
        )
