"""Load manifests: every problem of every file at once, or a checked set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from activityctl.domain.checking import Kinds, check_definition, check_subscription
from activityctl.domain.definition import DefinitionSpec
from activityctl.domain.finding import Finding
from activityctl.domain.manifest import ManifestSet
from activityctl.domain.plan import Present, Wanted, concerned_subscriptions
from activityctl.domain.subscription import SubscriptionSpec
from activityctl.errors import InvalidManifestsError, Problem
from activityctl.ports import ManifestSource


@dataclass(frozen=True, slots=True)
class Examined:
    """What files hold, and everything that is wrong with it."""

    manifests: ManifestSet
    """Those of right shape."""
    faulty: frozenset[tuple[str, str]]
    """Those of them, by (kind, name), that have a problem beyond their shape."""
    problems: tuple[Problem, ...]


def load_manifests(
    source: ManifestSource, paths: Sequence[str], kinds: Kinds, *, recursive: bool
) -> ManifestSet:
    """Return the manifests; InvalidManifestsError lists every problem found without a server.

    A subscription is held against its definition when the files have that; the others are
    held against what is present, by `check_against`.
    """
    examined = examine(source, paths, kinds, recursive=recursive)
    if examined.problems:
        raise InvalidManifestsError(examined.problems)
    return examined.manifests


def examine(
    source: ManifestSource, paths: Sequence[str], kinds: Kinds, *, recursive: bool
) -> Examined:
    """Return the manifests with every problem that is found without a server.

    A subscription is not held against a definition that is faulty itself.
    """
    manifests, problems = source.read(paths, recursive=recursive)
    specs: dict[str, DefinitionSpec] = {}
    faulty: set[tuple[str, str]] = set()
    for name, definition in manifests.definitions.items():
        locate = manifests.locate["ActivityDefinition", name]
        if findings := check_definition(definition.spec, kinds):
            faulty.add(("ActivityDefinition", name))
            problems += [locate(finding.under("spec")) for finding in findings]
        else:
            specs[name] = definition.spec
    for name, manifest in manifests.subscriptions.items():
        if found := _problems_of(manifests, name, specs.get(manifest.spec.activity)):
            faulty.add(("Subscription", name))
            problems += found
    return Examined(manifests, frozenset(faulty), tuple(sorted(set(problems))))


def check_against(manifests: ManifestSet, present: Present, wanted: Wanted | None = None) -> None:
    """Hold the set against what lives; InvalidManifestsError lists what does not fit.

    A changed definition must fit the live subscriptions that the set does not mention, except
    for those that `wanted` prunes.
    """
    specs = {name: one.spec for name, one in present.definitions.items()}
    specs |= {name: one.spec for name, one in manifests.definitions.items()}
    problems = _subscription_problems(manifests, specs)
    for name, manifest in manifests.subscriptions.items():
        if manifest.spec.activity not in specs:
            locate = manifests.locate["Subscription", name]
            reason = f"no ActivityDefinition {manifest.spec.activity!r} in these files or applied"
            problems.append(locate(Finding(("spec", "activity"), reason)))
    for subscription, spec in concerned_subscriptions(wanted or manifests.wanted, present):
        held = SubscriptionSpec(
            activity=subscription.definition,
            params=subscription.params,
            triggers=subscription.triggers,
        )
        locate = manifests.locate["ActivityDefinition", subscription.definition]
        problems += [
            locate(
                Finding(
                    ("spec",),
                    f"breaks subscription {subscription.name!r}: "
                    f"{'.'.join(map(str, finding.path))}: {finding.reason}",
                )
            )
            for finding in check_subscription(held, spec)
        ]
    if problems:
        raise InvalidManifestsError(problems)


def _subscription_problems(
    manifests: ManifestSet, specs: Mapping[str, DefinitionSpec]
) -> list[Problem]:
    return [
        problem
        for name, manifest in manifests.subscriptions.items()
        for problem in _problems_of(manifests, name, specs.get(manifest.spec.activity))
    ]


def _problems_of(manifests: ManifestSet, name: str, spec: DefinitionSpec | None) -> list[Problem]:
    """Return where a subscription does not fit its definition, if that is at hand."""
    if spec is None:
        return []
    return [
        manifests.locate["Subscription", name](finding.under("spec"))
        for finding in check_subscription(manifests.subscriptions[name].spec, spec)
    ]
