"""Problems of the event sources in a set of manifests; `sources.checks` finds them."""

from activityctl.domain.gitops.manifest_set import ManifestSet
from activityctl.domain.manifests.document import source_document
from activityctl.domain.manifests.literal_secrets import literal_secrets
from activityctl.domain.sources.checks import check_source
from activityctl.errors import Problem


def source_problems(manifests: ManifestSet) -> dict[str, list[Problem]]:
    """Return the problems of each event source that has some, by its name."""
    found = {name: check_source(source.spec) for name, source in manifests.sources.items()}
    return {
        name: [manifests.locate["EventSource", name](each.under("spec")) for each in findings]
        for name, findings in found.items()
        if findings
    }


def partial_source_problems(manifests: ManifestSet) -> list[Problem]:
    """Return the problems of the sound rests of event sources that do not fit the schema."""
    problems: list[Problem] = []
    for kind, partial, locate in manifests.partials:
        if kind == "EventSource":
            found = [finding.under("spec") for finding in check_source(partial.value.spec)]
            document = source_document(partial.value.metadata, partial.value.spec)
            found += literal_secrets(document)
            problems += [locate(finding) for finding in partial.findings(found)]
    return problems
