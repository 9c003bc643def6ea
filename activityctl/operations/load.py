"""Load manifests: every problem of every file at once, or a checked set."""

from collections.abc import Mapping, Sequence

from activityctl.domain.checking import Kinds, check_definition, check_subscription
from activityctl.domain.definition import DefinitionSpec
from activityctl.domain.finding import Finding
from activityctl.domain.manifest import ManifestSet
from activityctl.domain.plan import Present, concerned_subscriptions
from activityctl.domain.subscription import SubscriptionSpec
from activityctl.errors import InvalidManifestsError, Problem
from activityctl.ports import ManifestSource


def load_manifests(
    source: ManifestSource, paths: Sequence[str], kinds: Kinds, *, recursive: bool
) -> ManifestSet:
    """Return the manifests; InvalidManifestsError lists every problem found without a server.

    A subscription is held against its definition when the files have that; the others are
    held against what is present, by `check_against`.
    """
    manifests, problems = source.read(paths, recursive=recursive)
    for name, definition in manifests.definitions.items():
        locate = manifests.locate["ActivityDefinition", name]
        problems += [
            locate(finding.under("spec")) for finding in check_definition(definition.spec, kinds)
        ]
    if not problems:
        specs = {name: one.spec for name, one in manifests.definitions.items()}
        problems += _subscription_problems(manifests, specs)
    if problems:
        raise InvalidManifestsError(problems)
    return manifests


def check_against(manifests: ManifestSet, present: Present) -> None:
    """Hold the set against what lives; InvalidManifestsError lists what does not fit.

    A changed definition must fit the live subscriptions that the set does not mention.
    """
    specs = {name: one.spec for name, one in present.definitions.items()}
    specs |= {name: one.spec for name, one in manifests.definitions.items()}
    problems = _subscription_problems(manifests, specs)
    for name, manifest in manifests.subscriptions.items():
        if manifest.spec.activity not in specs:
            locate = manifests.locate["Subscription", name]
            reason = f"no ActivityDefinition {manifest.spec.activity!r} in these files or applied"
            problems.append(locate(Finding(("spec", "activity"), reason)))
    for subscription, spec in concerned_subscriptions(manifests.wanted, present):
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
        manifests.locate["Subscription", name](finding.under("spec"))
        for name, manifest in manifests.subscriptions.items()
        if manifest.spec.activity in specs
        for finding in check_subscription(manifest.spec, specs[manifest.spec.activity])
    ]
